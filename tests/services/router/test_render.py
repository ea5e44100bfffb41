"""HAProxy's files, written one table after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.core.routing import RoutingTable, Server
from services.router.haproxy.render import Renderer, render
from services.router.haproxy.settings import Settings
from tests.services.router.parts import NEXT_VERSION, VERSION, backend

SETTINGS = Settings(
    public_address="127.0.0.1:1",
    newest_socket="/n.sock",
    held_socket="/h.sock",
    access_sockets="/access",
    api_address="127.0.0.1:2",
)
BACKENDS = st.builds(
    lambda is_open, timeout_s: backend(Server(name="one.0", address="/one.sock", is_open=is_open), timeout_s=timeout_s),
    st.booleans(),
    st.sampled_from([5.0, 9.0]),
)
TABLES = st.builds(
    RoutingTable,
    routes=st.dictionaries(st.sampled_from(["m/latest", "m/prod"]), st.sampled_from([VERSION, NEXT_VERSION])),
    tokens=st.frozensets(st.sampled_from(["m/1", "m/2"])),
    backends=st.dictionaries(st.sampled_from([VERSION, NEXT_VERSION]), BACKENDS),
)


@given(st.lists(TABLES, max_size=5))
def test_what_is_written_does_not_depend_on_the_tables_before(tables: list[RoutingTable]) -> None:
    renderer = Renderer(SETTINGS)
    for table in tables:
        assert renderer.render(table) == render(table, SETTINGS)
