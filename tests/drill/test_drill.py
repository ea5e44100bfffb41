"""What a drill strikes, what it allows to fail, and when it says that it was lost."""

from __future__ import annotations

import doctest
from typing import Any

import pytest

from drill import __main__ as command
from drill import strikes as ordering
from drill import table as printing
from drill.strikes import strikes
from drill.table import Struck, complaints, row, verdict
from tests.e2e.processes import PROGRAMS


def struck(what: str = "api", **changed: Any) -> Struck:
    fields: dict[str, Any] = {"requests": 400, "failed": 0, "allowed": 0, "longest_s": 0.02, "back_s": 1.5}
    return Struck(what=what, **{**fields, **changed})


def test_every_program_is_struck_alone_and_then_all_services_at_once() -> None:
    drill = strikes((*PROGRAMS, "haproxy-2", "router-2"), workers=3)
    alone = {each.whom[0] for each in drill if len(each.whom) == 1}
    assert alone >= {"instance", "router-2", "nats", "database", "worker of haproxy", "worker of haproxy-2"}
    assert set(drill[-1].whom) == {"api", "builder", "deployer", "monitor", "router", "router-2"}
    assert not {whom for each in drill for whom in each.whom} & {"haproxy", "haproxy-2"}, "the master is left alone"


def test_only_calls_that_a_struck_instance_was_working_on_may_fail() -> None:
    allowed = {each.what: each.allowed for each in strikes(PROGRAMS, workers=3)}
    assert allowed.pop("instance") == 3
    assert allowed.pop("HAProxy worker of haproxy") is None
    assert set(allowed.values()) == {0}


@pytest.mark.parametrize(
    ("changed", "is_lost"),
    [
        ({}, False),
        ({"failed": 1}, True),
        ({"failed": 1, "allowed": 1}, False),
        ({"failed": 2, "allowed": 1}, True),
        ({"failed": 70, "allowed": None}, False),
        ({"back_s": None}, True),
        ({"requests": 0}, True),
    ],
)
def test_a_drill_is_lost_when_more_failed_than_may_or_something_did_not_come_back(
    changed: dict[str, Any], is_lost: bool
) -> None:
    one = struck(**changed)
    assert one.is_lost is is_lost
    assert verdict([struck(), one]).startswith("Lost: api; " if is_lost else "Held: ")


def test_the_table_has_a_line_for_each_strike_and_says_why_calls_failed() -> None:
    lost = struck("router", failed=2, complaint="503 nobody")
    assert [row(each).split()[-1] for each in (struck("nats"), lost)] == ["held", "LOST"]
    assert complaints([struck("nats"), lost]) == ["router: 503 nobody"]


def test_without_a_platform_it_says_so_in_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = tmp_path_factory.mktemp("here") / "cli.toml"
    monkeypatch.setenv("MODELWAY_CONFIG", str(nothing))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert command.main([]) == 1
    assert capsys.readouterr().err.startswith(f"Error: The configuration file {nothing} does not exist: run `make up`")
    nothing.write_text('url = "http://127.0.0.1:1"\napi_key = "k"\n')
    assert command.main([]) == 1
    assert capsys.readouterr().err == "Error: No platform is reachable at http://127.0.0.1:1: run `make up`.\n"


@pytest.mark.parametrize("module", [ordering, printing])
def test_the_examples_in_the_docstrings_are_true(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
