"""The programs of a home: each is given what it needs, and no more."""

from __future__ import annotations

from pathlib import Path

from services.embedded.home import open_home
from services.embedded.interpreters import ModelInterpreter
from services.embedded.ports import SERVICES, Ports
from services.embedded.programs import Parts, Program, all_programs

PARTS = Parts(
    nats_server=Path("/nats"),
    database=Path("/database"),
    haproxy=Path("/haproxy"),
    uv=Path("/uv"),
    interpreter=ModelInterpreter("/python", "", ""),
    harness_wheel=Path("/wheel"),
    r_harness=Path("/r"),
)


FURTHER = {"router-2": 6}


def programs(folder: Path, **environ: str) -> dict[str, Program]:
    health = dict.fromkeys((*SERVICES, "router-2", "api-2"), 5)
    ports = Ports(public=1, api=2, nats=3, database=4, health=health, further=FURTHER, apis={"api-2": 7})
    return {each.name: each for each in all_programs(open_home(folder), ports, PARTS, environ)}


def test_limits_reach_the_api_and_nobody_else(folder: Path) -> None:
    found = programs(folder, MODELWAY_SNAPSHOT_FILES="7", MODELWAY_SNAPSHOT_BYTES="9", MODELWAY_HOME="/x")
    assert found["api"].environment["SNAPSHOT_FILES"] == "7"
    assert found["api"].environment["SNAPSHOT_BYTES"] == "9"
    assert "SNAPSHOT_FILE_BYTES" not in found["api"].environment
    assert [name for name in found if "SNAPSHOT_FILES" in found[name].environment] == ["api", "api-2"]


def test_each_secret_is_named_to_those_who_need_it(folder: Path) -> None:
    readers: dict[str, set[str]] = {}
    for name, program in programs(folder).items():
        for variable, value in program.environment.items():
            if variable.endswith("_FILE"):
                readers.setdefault(Path(value).name, set()).add(name)
    assert readers == {
        **{f"nats-{name}": {name} for name in SERVICES},
        "nats-router": {"router", "router-2"},
        "nats-api": {"api", "api-2"},
        "database-url": {"api", "api-2"},
        "token-keys": {"api", "api-2"},
        "api-key": {"api", "api-2"},
        "administrator-password": {"api", "api-2"},
        "variable-keys": {"api", "api-2", "deployer"},
    }


def test_what_is_in_the_environment_of_who_starts_it_goes_no_further(folder: Path) -> None:
    own = {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "hush", "MODELWAY_TOKEN": "hush", "UV_INDEX_URL": "https://index"}
    for program in programs(folder, **own).values():
        assert "hush" not in program.environment.values()
        assert ("UV_INDEX_URL" in program.environment) == (program.name == "builder")


def test_a_second_router_shares_nothing_with_the_first_but_its_user_of_the_bus_and_the_api(folder: Path) -> None:
    found = programs(folder)
    first, second = found["router"].environment, found["router-2"].environment
    assert {name for name in first if first[name] != second[name]} == {
        *("SERVICE_ID", "HAPROXY_DIR", "HAPROXY_MASTER_SOCKET", "PUBLIC_PORT")
    }
    assert Path(first["HAPROXY_MASTER_SOCKET"]).parent != Path(second["HAPROXY_MASTER_SOCKET"]).parent
    assert found["router-2"].command == found["router"].command
    assert found["haproxy-2"].command[-1] == f"{second['HAPROXY_DIR']}/haproxy.cfg"


def test_a_second_api_is_another_process_of_the_same_and_routers_know_both(folder: Path) -> None:
    found = programs(folder)
    first, second = found["api"].environment, found["api-2"].environment
    assert {name for name in first if first[name] != second[name]} == {"SERVICE_ID", "HTTP_PORT"}
    assert found["router"].environment["API_ADDRESS"] == "127.0.0.1:2,127.0.0.1:7"


def test_the_secret_of_an_openid_connect_provider_is_told_only_as_a_file(folder: Path) -> None:
    """What programs are started with is written down, and shown by ps."""
    told = {"MODELWAY_OIDC_ISSUER": "https://id.example", "MODELWAY_OIDC_CLIENT_SECRET_FILE": "/x"}
    api = programs(folder, **told, MODELWAY_OIDC_CLIENT_SECRET="s")["api"].environment
    assert (api["OIDC_ISSUER"], api["OIDC_CLIENT_SECRET_FILE"]) == ("https://id.example", "/x")
    assert "OIDC_CLIENT_SECRET" not in api
