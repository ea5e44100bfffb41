from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.embedded.home import Home, open_home
from services.embedded.ports import can_bind, free_port, settle_ports, wanted_elsewhere
from services.embedded.trouble import Trouble


@pytest.fixture
def home(folder: Path) -> Home:
    return open_home(folder)


@pytest.fixture
def busy() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_two_known_ports_are_8080_and_8000_and_all_ports_differ(home: Home) -> None:
    ports = settle_ports(home, {}, may_bind=lambda _: True)
    assert (ports.public, ports.api) == (8080, 8000)
    assert len({ports.nats, ports.database, *ports.health.values()}) == 8


def test_ports_are_chosen_once_and_kept(home: Home) -> None:
    first = settle_ports(home, {"MODELWAY_PORT": "8090"}, may_bind=lambda _: True)
    assert settle_ports(home, {}, may_bind=lambda _: True) == first


def test_a_chosen_port_that_another_program_took_is_chosen_anew(home: Home) -> None:
    first = settle_ports(home, {}, may_bind=lambda _: True)
    second = settle_ports(home, {}, may_bind=lambda port: port != first.nats)
    assert second.nats != first.nats
    assert second.database == first.database


def test_a_busy_known_port_is_one_sentence_that_says_what_to_do(home: Home, busy: int) -> None:
    with pytest.raises(Trouble) as caught:
        settle_ports(home, {"MODELWAY_PORT": str(busy)}, may_bind=can_bind)
    assert str(caught.value) == (
        f"Port {busy} is in use by another program: stop that program, or choose another port, "
        f"as in: make up MODELWAY_PORT={busy + 1}"
    )


@pytest.mark.parametrize("text", ["soon", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused_by_name(home: Home, text: str) -> None:
    with pytest.raises(Trouble, match="MODELWAY_API_PORT must be a port"):
        settle_ports(home, {"MODELWAY_API_PORT": text}, may_bind=lambda _: True)


def test_the_same_port_for_both_is_refused(home: Home) -> None:
    with pytest.raises(Trouble, match="Port 9000 is in use"):
        settle_ports(home, {"MODELWAY_PORT": "9000", "MODELWAY_API_PORT": "9000"}, may_bind=lambda _: True)


def test_a_wish_for_another_port_than_the_one_in_use_is_noticed(home: Home) -> None:
    kept = settle_ports(home, {}, may_bind=lambda _: True)
    assert wanted_elsewhere(kept, {}) is None
    assert wanted_elsewhere(kept, {"MODELWAY_PORT": "8080"}) is None
    assert wanted_elsewhere(kept, {"MODELWAY_PORT": "8081"}) == "MODELWAY_PORT"


def test_every_further_router_has_a_port_for_callers_and_one_for_its_health(home: Home) -> None:
    ports = settle_ports(home, {"MODELWAY_ROUTERS": "3"}, may_bind=lambda _: True)
    assert set(ports.further) == {"router-2", "router-3"}
    health = [ports.health[name] for name in ports.further]
    assert len({ports.public, *ports.further.values(), *health}) == 5


def test_routers_are_kept_and_there_may_come_more(home: Home) -> None:
    two = settle_ports(home, {"MODELWAY_ROUTERS": "2"}, may_bind=lambda _: True)
    assert settle_ports(home, {}, may_bind=lambda _: True) == two
    three = settle_ports(home, {"MODELWAY_ROUTERS": "3"}, may_bind=lambda _: True)
    assert three.further["router-2"] == two.further["router-2"]
    assert wanted_elsewhere(three, {"MODELWAY_ROUTERS": "2"}) == "MODELWAY_ROUTERS"
    assert wanted_elsewhere(three, {"MODELWAY_ROUTERS": "3"}) is None


@pytest.mark.parametrize("text", ["0", "1", "10", "two"])
def test_fewer_routers_than_there_are_or_too_many_are_refused(home: Home, text: str) -> None:
    settle_ports(home, {"MODELWAY_ROUTERS": "2"}, may_bind=lambda _: True)
    with pytest.raises(Trouble, match="MODELWAY_ROUTERS must be a number between 2 and 9 here"):
        settle_ports(home, {"MODELWAY_ROUTERS": text}, may_bind=lambda _: True)


def test_apis_are_kept_and_there_may_be_more_or_fewer(home: Home) -> None:
    two = settle_ports(home, {"MODELWAY_APIS": "2"}, may_bind=lambda _: True)
    assert set(two.apis) == {"api-2"}
    assert len({two.api, *two.apis.values(), two.health["api"], two.health["api-2"]}) == 4
    assert settle_ports(home, {}, may_bind=lambda _: True) == two
    assert wanted_elsewhere(two, {"MODELWAY_APIS": "1"}) == "MODELWAY_APIS"
    assert settle_ports(home, {"MODELWAY_APIS": "1"}, may_bind=lambda _: True).apis == {}
    with pytest.raises(Trouble, match="MODELWAY_APIS must be a number between 1 and 4"):
        settle_ports(home, {"MODELWAY_APIS": "5"}, may_bind=lambda _: True)


def test_a_free_port_can_be_listened_on() -> None:
    assert can_bind(free_port())
