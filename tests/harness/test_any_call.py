"""Any document in a call of a function that is served: a result, or a 4xx that says why; and the worker goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.served import Served, asked
from tests.harness.test_any_document import JSON

MANY = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@dataclass
class Flower:
    petal_cm: float
    kind: Literal["rose", "tulip"] = "rose"


def plain(x: Any, y: Any = None) -> Any:
    return [x, y]


def only_named(*, x: int, y: list[Flower] | None = None) -> Any:
    return {"x": x, "y": y}


def only_placed(x: float, y: str = "", /, *z: bool) -> Any:
    return x, y, z


def everything(x: dict[str, list[int]], *y: Any, v: date | None = None, **w: Decimal) -> Any:
    return x, y, v, w


def in_pieces(x: list[Any] | None = None, y: int = 2) -> Any:
    for each in x or []:
        yield each, y


async def awaited(x: set[int], y: bytes = b"") -> Any:
    return x, y


def nothing() -> None: ...


FUNCTIONS = (plain, only_named, only_placed, everything, in_pieces, awaited, nothing)
NAMES = st.sampled_from(["x", "y", "z", "v", "w", "", "self", "x.y"])
BODIES = st.one_of(
    st.fixed_dictionaries({"data": st.dictionaries(NAMES, JSON, max_size=4)}),
    st.fixed_dictionaries({"parameters": st.lists(JSON, max_size=4)}),
    st.fixed_dictionaries({}, optional={"data": JSON, "parameters": JSON, "dataset": JSON}),
    JSON,
).map(lambda document: json.dumps(document).encode()) | st.binary(max_size=60)
ACCEPTED = st.sampled_from(["*/*", "application/json", "application/x-ndjson", "text/event-stream", "image/png", ""])


@pytest.fixture(scope="module", params=FUNCTIONS, ids=lambda function: function.__name__)
def served(request: pytest.FixtureRequest, serve: Callable[..., Served]) -> Served:
    return serve(request.param, max_body_bytes=1 << 20)


@MANY
@given(bodies=st.lists(st.tuples(BODIES, ACCEPTED), min_size=1, max_size=5))
def test_any_calls_on_one_connection_are_each_answered_or_refused_in_words(
    served: Served, bodies: list[tuple[bytes, str]]
) -> None:
    with closing(served.connection()) as connection:
        for body, accept in bodies:
            reply = asked(connection, "POST", "/model", body, {"Accept": accept})
            assert reply.status_code in (200, 400), (body, reply)
            if reply.status_code == 400:
                (told,) = reply.json()["errors"]
                assert 10 < len(told) < 2000
            elif reply.headers["Content-Type"] == "application/json":
                assert "result" in reply.json()
        assert asked(connection, "GET", "/health").status_code == 200
