"""What callers notice of changes: nothing. A real HAProxy, under load from another process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from msgspec.structs import replace

from services.core.ids import VersionId
from services.core.routing import STOPPED, RoutingTable, Server
from services.router.haproxy.dataplane import HAProxy, State
from tests.parts import wait_until_async
from tests.services.router.parts import (
    LATEST,
    MODEL,
    NEXT_VERSION,
    TOKEN,
    VERSION,
    Callers,
    Place,
    StandIn,
    backend,
    basic,
    open_table,
    token_hash,
)


@pytest.fixture
def callers(place: Place) -> Iterator[list[Callers]]:
    """Those that a test puts here are gone when it ends."""
    started: list[Callers] = []
    yield started
    for each in started:
        each.kill()


def with_another(table: RoutingTable, number: int) -> RoutingTable:
    """`table` with one more version, which only a reload can bring about."""
    server = Server(name=f"new{number}.0", address=f"/tmp/mw-nobody-{number}.sock", is_open=False)
    version = VersionId(f"{number + 100:024x}")
    return replace(table, backends={**table.backends, version: backend(server)})


async def settle(data_plane: HAProxy, table: RoutingTable, *, deadline_s: float = 20) -> State:
    """Converge until HAProxy runs the newest configuration."""
    states: list[State] = []

    async def is_there() -> bool:
        states.append(await data_plane.converge(table))
        return data_plane.is_current

    await wait_until_async(is_there, deadline_s, what="HAProxy runs the newest configuration")
    return states[-1]


@pytest.mark.parametrize("delay_s", [0.0, 0.05], ids=["quick calls", "slow calls"])
async def test_reloads_under_load_fail_no_call(
    data_plane: HAProxy, place: Place, stand_in: StandIn, callers: list[Callers], delay_s: float
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    callers.append(Callers(place, delay_s=delay_s))
    for number in range(6):
        await settle(data_plane, with_another(table, number))
    outcome = callers[0].finish()
    print(outcome)
    assert outcome.failures == {}
    assert set(outcome.statuses) == {"200"}
    assert outcome.statuses["200"] > 100
