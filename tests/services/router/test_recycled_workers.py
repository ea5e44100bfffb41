"""Workers that are recycled behind HAProxy: their callers notice nothing."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.core.routing import Server
from services.router.haproxy.dataplane import HAProxy
from tests.harness.instances import INSTANCE, WITHIN_S, Running
from tests.services.router.parts import LATEST, open_table
from tests.services.router.test_changes import settle_alone

CALLERS, GONE = 6, 4


@pytest.fixture
def instance() -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="mwh-", dir="/tmp"))
    running = Running(folder)
    running.project.mkdir()
    (folder / "home").mkdir()
    try:
        yield running
    finally:
        running.clean()
        shutil.rmtree(folder)


@pytest.mark.parametrize("preload", [False, True])
async def test_no_call_is_lost_or_refused_while_workers_are_recycled(
    data_plane: HAProxy, client: httpx.AsyncClient, instance: Running, preload: bool
) -> None:
    instance.write("import os\ndef predict(x):\n    return [x, os.getpid()]\n")
    instance.ready(workers=2, recycle_after_calls=40, preload=preload)
    servers = [
        Server(name=f"{INSTANCE}.{worker}", address=str(path), is_open=True)
        for worker, path in enumerate(instance.sockets)
    ]
    await settle_alone(data_plane, open_table(*servers))
    pids: set[int] = set()

    async def call(who: int) -> list[object]:
        """Until enough workers have gone: what was answered that should not have been."""
        wrong: list[object] = []
        number = 0
        while instance.says().count("worker_recycled") < GONE and not wrong:
            number += 1
            response = await client.post(LATEST, json={"data": {"x": [who, number]}})
            if response.status_code != 200 or response.json()["result"][0] != [who, number]:
                wrong.append((response.status_code, response.text))
            else:
                pids.add(response.json()["result"][1])
        return wrong

    async with asyncio.timeout(WITHIN_S):
        wrong = await asyncio.gather(*(call(who) for who in range(CALLERS)))
    assert wrong == [[]] * CALLERS
    assert len(pids) >= GONE
