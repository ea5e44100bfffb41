"""A candidate really gets its share of a label's calls, and no more; counted through a real HAProxy."""

from __future__ import annotations

import math
from collections.abc import Iterator

import httpx
import pytest
from msgspec.structs import replace

from services.core.canary import written
from services.core.records import Candidate
from services.core.routing import STOPPED, RoutingTable
from services.router.haproxy.dataplane import HAProxy
from tests.parts import wait_until_async
from tests.services.router.parts import LATEST, MODEL, NEXT_VERSION, VERSION, Place, StandIn, backend, open_table
from tests.services.router.raw import who_answered
from tests.services.router.test_changes import settle, settle_alone

MAIN, CANDIDATE = "one.0", "two.0"
CALLS = 2000


@pytest.fixture
def candidate(place: Place) -> Iterator[StandIn]:
    """A process of its own, so that it can be killed."""
    stand_in = StandIn(place.folder, "three.0")
    stand_in.start()
    yield stand_in
    stand_in.stop()


def table(stand_in: StandIn, share: float, *, is_open: bool = True) -> RoutingTable:
    main, other = stand_in.servers
    return replace(
        open_table(main),
        canaries={f"{MODEL}/latest": written(Candidate(version_id=NEXT_VERSION, share=share))},
        backends={VERSION: backend(main), NEXT_VERSION: backend(replace(other, is_open=is_open))},
    )


async def test_a_candidate_gets_its_share_and_a_change_of_it_needs_no_reload(
    data_plane: HAProxy, place: Place, stand_in: StandIn
) -> None:
    await settle(data_plane, table(stand_in, 10.0))
    pid = data_plane.newest_pid
    counts = await who_answered(place, CALLS)
    print(counts)
    spread = 6 * math.sqrt(CALLS * 0.1 * 0.9)  # six times the standard deviation: one run in a billion
    assert abs(counts[CANDIDATE] - CALLS * 0.1) < spread
    for share, only in ((100.0, CANDIDATE), (0.0, MAIN)):
        await data_plane.converge(table(stand_in, share))
        assert await who_answered(place, 400) == {only: 400}
    await data_plane.converge(replace(table(stand_in, 0.0), canaries={}))
    assert await who_answered(place, 80) == {MAIN: 80}
    assert data_plane.newest_pid == pid


async def test_a_tester_chooses_by_a_header_that_no_instance_sees(
    data_plane: HAProxy, place: Place, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await settle(data_plane, table(stand_in, 0.0))
    assert await who_answered(place, 40, "X-Modelway-Canary: always") == {CANDIDATE: 40}
    await data_plane.converge(table(stand_in, 100.0))
    assert await who_answered(place, 40, "X-Modelway-Canary: never") == {MAIN: 40}
    assert await who_answered(place, 40, "X-Modelway-Canary: perhaps") == {CANDIDATE: 40}
    seen = (await client.post(LATEST, json={}, headers={"X-Modelway-Canary": "always"})).json()["headers"]
    assert "x-modelway-canary" not in seen


async def test_a_tester_of_a_label_without_a_candidate_gets_the_main_version(
    data_plane: HAProxy, place: Place, stand_in: StandIn
) -> None:
    await settle(data_plane, replace(table(stand_in, 50.0), canaries={}))
    assert await who_answered(place, 40, "X-Modelway-Canary: always") == {MAIN: 40}


async def test_the_calls_of_a_candidate_that_is_not_ready_go_to_the_main_version(
    data_plane: HAProxy, place: Place, stand_in: StandIn
) -> None:
    await settle(data_plane, table(stand_in, 100.0, is_open=False))
    assert await who_answered(place, 80) == {MAIN: 80}
    await data_plane.converge(table(stand_in, 100.0))
    assert await who_answered(place, 80) == {CANDIDATE: 80}


async def test_the_calls_of_a_candidate_that_died_go_to_the_main_version(
    data_plane: HAProxy, place: Place, stand_in: StandIn, candidate: StandIn, client: httpx.AsyncClient
) -> None:
    main = stand_in.servers[0]
    dying = replace(
        table(stand_in, 100.0), backends={VERSION: backend(main), NEXT_VERSION: backend(*candidate.servers)}
    )
    await settle(data_plane, dying)
    assert (await client.post(LATEST, json={})).json()["server"] == "three.0"
    candidate.kill()

    async def is_left() -> bool:
        return (await client.post(LATEST, json={})).status_code == 200

    await wait_until_async(is_left, what="HAProxy has noticed")
    assert await who_answered(place, 80) == {MAIN: 80}


async def test_a_candidate_answers_its_share_also_where_the_main_version_is_stopped(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    stopped = replace(table(stand_in, 100.0), routes={f"{MODEL}/latest": STOPPED})
    await settle(data_plane, stopped)
    assert (await client.post(LATEST, json={})).json()["server"] == CANDIDATE
    response = await client.post(LATEST, json={}, headers={"X-Modelway-Canary": "never"})
    assert response.status_code == 503


async def test_a_restarted_router_finds_the_canary_that_runs(
    data_plane: HAProxy, place: Place, stand_in: StandIn
) -> None:
    wanted = table(stand_in, 25.0)
    await settle_alone(data_plane, wanted)
    state = await place.data_plane().converge(wanted)
    assert [each.running.canaries for each in state.workers] == [wanted.canaries]
