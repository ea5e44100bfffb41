"""HAProxy's folder on a disk that is full: what lies there stays whole, callers notice nothing, and it passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from services.core.errors import Unavailable
from services.core.routing import RoutingTable
from services.router.haproxy import trial
from services.router.haproxy.dataplane import HAProxy
from services.router.haproxy.render import CONFIG
from tests.bad_days import SmallDisk, mounted
from tests.services.router.parts import (
    LATEST,
    MODEL,
    NEXT_VERSION,
    HAProxyProcess,
    Place,
    StandIn,
    backend,
    open_table,
    token_hash,
)
from tests.services.router.test_changes import settle
from tests.services.router.test_faults import restarts_well


@pytest.fixture
def disk(place: Place) -> Iterator[SmallDisk]:
    """HAProxy's folder; ask for it before `haproxy`."""
    with mounted(place.haproxy_dir, megabytes=1) as small:
        yield small


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if not each.name.startswith(".")}


def many_backends(table: RoutingTable) -> RoutingTable:
    """More than fits into what may be left of the disk."""
    extra = {f"{number:024x}": backend() for number in range(1, 3000)}
    return replace(table, routes={**table.routes, f"{MODEL}/prod": NEXT_VERSION}, backends={**table.backends, **extra})


async def test_a_full_disk_leaves_the_last_good_files_and_is_made_up_for_once_there_is_room(
    disk: SmallDisk,
    place: Place,
    data_plane: HAProxy,
    haproxy: HAProxyProcess,
    stand_in: StandIn,
    client: httpx.AsyncClient,
) -> None:
    table = open_table(*stand_in.servers)
    await settle(data_plane, table)
    before = contents(place.haproxy_dir)
    disk.fill()
    tokens = frozenset(f"{MODEL}/{token_hash(str(number))}" for number in range(500))
    restricted = replace(table, open_models=frozenset(), tokens=tokens)
    for wanted in (many_backends(table), restricted):
        with pytest.raises(Unavailable, match="No space left on device"):
            await data_plane.converge(wanted)
    assert contents(place.haproxy_dir).keys() >= before.keys()
    assert await trial.complaint(place.binary, place.haproxy_dir / CONFIG) == ""
    assert (await client.post(LATEST, json={})).status_code == 200
    assert await restarts_well(haproxy, client)
    disk.free()
    await settle(place.data_plane(), restricted)
    assert (await client.post(LATEST, json={})).status_code == 401
    left = [each.name for each in place.haproxy_dir.iterdir() if each.name.endswith(".new")]
    assert left == []
