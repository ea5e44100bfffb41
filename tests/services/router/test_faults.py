"""What goes wrong around HAProxy, and what callers notice of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from services.core.errors import Unavailable
from services.core.routing import STOPPED, RoutingTable
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.files import Folder
from services.router.haproxy.render import CONFIG, digest_of, render
from tests.services.router.parts import (
    LATEST,
    MODEL,
    NEXT_VERSION,
    VERSION,
    HAProxyProcess,
    Place,
    StandIn,
    backend,
    open_table,
    token_hash,
)
from tests.services.router.test_changes import settle, settle_alone


async def restarts_well(haproxy: HAProxyProcess, client: httpx.AsyncClient) -> bool:
    """HAProxy, killed and started on what lies in its folder, answers a call of the model."""
    haproxy.kill()
    await asyncio.to_thread(haproxy.start)
    return (await client.post(LATEST, json={})).status_code == 200


async def test_a_version_that_spoils_the_configuration_is_set_aside_and_reported(
    data_plane: HAProxy, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    one, two = stand_in.servers
    spoilt = replace(two, address="/" + "x" * 200)
    table = replace(
        open_table(one),
        routes={f"{MODEL}/latest": VERSION, f"{MODEL}/prod": NEXT_VERSION},
        backends={VERSION: backend(one), NEXT_VERSION: backend(spoilt)},
    )
    state = await settle(data_plane, table)
    assert "too long" in state.rejected
    assert list(state.aimed.backends) == [VERSION]
    assert (await client.post(LATEST, json={})).status_code == 200
    assert (await client.post(f"/models/{MODEL}/labels/prod/model", json={})).status_code == 503
    assert await restarts_well(haproxy, client)
    assert (await settle(data_plane, open_table(one))).rejected == ""


async def test_a_configuration_that_is_refused_as_a_whole_leaves_the_last_good_one(
    place: Place, data_plane: HAProxy, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    place.api_port = 99_999  # a router that was started with a setting HAProxy does not take
    state = await place.data_plane().converge(replace(table, backends={**table.backends, NEXT_VERSION: backend()}))
    assert "99999" in state.rejected
    assert (await client.post(LATEST, json={})).status_code == 200
    assert await restarts_well(haproxy, client)


async def test_a_configuration_no_worker_starts_on_is_taken_back_and_tried_again(
    place: Place, data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    before = Folder(place.haproxy_dir).read(CONFIG)
    first_port = place.port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.port = taken.getsockname()[1]
        moved = place.data_plane()
        state = await moved.converge(table)
    assert "annot bind" in state.rejected
    assert Folder(place.haproxy_dir).read(CONFIG) == before
    assert (await client.post(LATEST, json={})).status_code == 200
    # Anything new is tried at once.
    await settle(moved, replace(table, backends={VERSION: backend(*stand_in.servers, timeout_s=9.0)}))
    assert place.port != first_port
    async with httpx.AsyncClient(base_url=place.url) as there:
        assert (await there.post(LATEST, json={})).status_code == 200


async def test_a_killed_haproxy_starts_on_the_newest_table_and_is_found_again(
    data_plane: HAProxy, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    haproxy.kill()
    restricted = replace(table, open_models=frozenset(), tokens=frozenset({f"{MODEL}/{token_hash('x')}"}))
    with pytest.raises(Unavailable):
        await data_plane.converge(restricted)
    await asyncio.to_thread(haproxy.start)
    assert (await client.post(LATEST, json={})).status_code == 401
    state = await settle(data_plane, restricted)
    assert [each.running.tokens for each in state.workers] == [restricted.tokens]


async def test_a_killed_worker_is_replaced_with_what_ran(
    data_plane: HAProxy, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await settle(data_plane, open_table(*stand_in.servers))
    assert data_plane.newest_pid is not None
    os.kill(data_plane.newest_pid, signal.SIGKILL)
    # HAProxy's master gives up when a worker dies; the supervisor starts it again.
    await asyncio.to_thread(haproxy.stop)
    await asyncio.to_thread(haproxy.start)
    await settle(data_plane, open_table(*stand_in.servers))
    assert (await client.post(LATEST, json={})).status_code == 200


async def test_a_restarted_router_adopts_what_runs_without_a_reload(
    place: Place, data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = open_table(*stand_in.servers)
    await settle_alone(data_plane, table)
    pid = data_plane.newest_pid
    restarted = place.data_plane()
    state = await restarted.converge(table)
    assert (restarted.newest_pid, state.is_settled) == (pid, True)
    assert [each.running.routes for each in state.workers] == [table.routes]
    await restarted.converge(replace(table, routes={f"{MODEL}/latest": STOPPED}))
    assert (await client.post(LATEST, json={})).status_code == 503
    assert restarted.newest_pid == pid


async def test_what_was_changed_behind_the_routers_back_is_put_right_by_the_next_router(
    place: Place, data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    table = replace(open_table(*stand_in.servers), open_models=frozenset())
    await settle(data_plane, table)
    forged = replace(table, open_models=frozenset({MODEL}))
    await data_plane.converge(forged)
    assert (await client.post(LATEST, json={})).status_code == 200
    await place.data_plane().converge(table)
    assert (await client.post(LATEST, json={})).status_code == 401


async def test_thousands_of_tokens_are_taken_in_and_revoked_within_seconds(
    data_plane: HAProxy, stand_in: StandIn
) -> None:
    table = replace(open_table(*stand_in.servers), open_models=frozenset())
    await settle_alone(data_plane, table)
    tokens = frozenset(f"{MODEL}/{token_hash(str(number))}" for number in range(3000))
    async with asyncio.timeout(10):
        state = await data_plane.converge(replace(table, tokens=tokens))
        assert [each.running.tokens for each in state.workers] == [tokens]
        await data_plane.converge(table)


def initial(place: Place) -> subprocess.CompletedProcess[str]:
    environment = {**place.environment, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "services.router", "--initial"]
    return subprocess.run(command, env=environment, timeout=30, capture_output=True, text=True, check=False)


def test_initial_writes_what_haproxy_starts_on_and_later_leaves_it_alone(place: Place) -> None:
    assert initial(place).returncode == 0
    folder = Folder(place.haproxy_dir)
    text = folder.read(CONFIG)
    assert digest_of(text or "") == render(RoutingTable(), place.settings).digest
    haproxy = HAProxyProcess(place)
    try:
        haproxy.start()
        assert httpx.post(place.url + LATEST).status_code == 404
        assert httpx.get(place.url + "/version").status_code == 503
    finally:
        haproxy.stop()
    place.api_port += 1
    assert initial(place).returncode == 0
    assert folder.read(CONFIG) == text


def test_initial_names_everything_that_is_not_set() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.router", "--initial"],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "HAPROXY_DIR is not set",
        "HAPROXY_MASTER_SOCKET is not set",
        "HAPROXY_BINARY is not set",
    ]
