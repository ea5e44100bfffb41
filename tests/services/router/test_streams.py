"""Answers that come piece by piece, from a real harness through a real HAProxy."""

from __future__ import annotations

import asyncio
import json
import queue
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.core.routing import Server
from services.router.haproxy import sections
from services.router.haproxy.dataplane import HAProxy
from tests.harness.instances import INSTANCE as NAME
from tests.harness.instances import Running
from tests.harness.served import INSTANCE, Served
from tests.services.router.conftest import started
from tests.services.router.parts import LATEST, Place, open_table
from tests.services.router.test_counting import Counting

LONG_S = 20.0
NDJSON, SSE = "application/x-ndjson", "text/event-stream"
SCRIPT = """
import os
from pathlib import Path

def predict(mark):
    with open(mark, "a") as calls:
        calls.write("called ")
    yield 1
    os._exit(1)
"""


class Source:
    """A function whose pieces the test hands out; None is the end."""

    def __init__(self) -> None:
        self.given: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.left = threading.Event()

    def __call__(self) -> Iterator[object]:
        try:
            while (piece := self.given.get(timeout=LONG_S)) is not None:
                yield piece
        finally:
            self.left.set()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Serves functions as instances do, for HAProxy to find."""
    running: list[Served] = []
    with tempfile.TemporaryDirectory(prefix="mwh-", dir="/tmp") as folder:

        def served(function: Callable[..., object], **settings: Any) -> Server:
            place = Path(folder) / str(len(running))
            place.mkdir()
            running.append(Served(place, function, replace(INSTANCE, **settings)))
            return Server(name="i-1.0", address=str(running[-1].path), is_open=True)

        yield served
        for each in running:
            each.stop()


def call(client: httpx.AsyncClient, accept: str, **data: object) -> Any:
    return client.stream("POST", LATEST, json={"data": data}, headers={"Accept": accept})


async def lines(response: httpx.Response) -> AsyncIterator[Any]:
    async for line in response.aiter_lines():
        yield json.loads(line)


async def test_a_piece_reaches_the_caller_when_it_is_made_and_the_headers_do_too(
    data_plane: HAProxy, serve: Callable[..., Server], source: Source, client: httpx.AsyncClient
) -> None:
    table = open_table(serve(source))
    counting = Counting(data_plane, table)
    await counting.look()
    source.given.put("first")
    async with call(client, NDJSON) as response:
        assert response.headers["Content-Type"] == NDJSON
        assert "wait;dur=" in response.headers["Server-Timing"]
        pieces = lines(response)
        assert await anext(pieces) == {"result": "first"}
        for n in range(3):
            source.given.put(n)
            assert await anext(pieces) == {"result": n}
        source.given.put(None)
        assert (await anext(pieces))["request_id"] == response.headers["X-Request-Id"]
        assert [each async for each in pieces] == []
    assert (await counting.reaches(1)).failures == 0


async def test_a_plain_answer_tells_the_caller_where_its_time_went(
    data_plane: HAProxy, serve: Callable[..., Server], client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(serve(lambda: 1)))
    response = await client.post(LATEST, json={"data": {}})
    assert [each.strip().partition(";")[0] for each in response.headers["Server-Timing"].split(",")] == [
        "import",
        "wait",
        "compute",
        "encode",
    ]


async def test_a_caller_that_leaves_ends_the_function(
    data_plane: HAProxy, serve: Callable[..., Server], source: Source, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(open_table(serve(source)))
    source.given.put("first")
    async with call(client, SSE) as response:
        await anext(response.aiter_lines())
    for _ in range(100):
        source.given.put("for nobody")
    assert await asyncio.to_thread(source.left.wait, LONG_S)


async def test_a_worker_that_dies_half_way_leaves_a_broken_stream_and_is_not_called_again(
    data_plane: HAProxy, place: Place, client: httpx.AsyncClient
) -> None:
    instance, mark = Running(place.folder / "i"), place.folder / "mark"
    instance.folder.mkdir()
    try:
        instance.write(SCRIPT)
        await asyncio.to_thread(instance.ready)
        await data_plane.converge(open_table(Server(name=f"{NAME}.0", address=str(instance.sockets[0]), is_open=True)))
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 - the pieces before it are looked at
            async with call(client, NDJSON, mark=str(mark)) as response:
                assert response.status_code == 200
                pieces = lines(response)
                assert await anext(pieces) == {"result": 1}
                await anext(pieces)
        assert mark.read_text().split() == ["called"]
    finally:
        instance.clean()


async def test_a_stream_that_is_silent_for_longer_than_a_caller_may_be_goes_on(
    place: Place, serve: Callable[..., Server], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sections, "IDLE_S", 1)
    with started(place, open_table(serve(source))):
        async with httpx.AsyncClient(base_url=place.url, timeout=LONG_S) as client:
            source.given.put("first")
            async with call(client, NDJSON) as response:
                pieces = lines(response)
                assert await anext(pieces) == {"result": "first"}
                threading.Timer(1.5, source.given.put, ("second",)).start()
                assert await anext(pieces) == {"result": "second"}
                source.given.put(None)
                assert "release" in await anext(pieces)
