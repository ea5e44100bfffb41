"""`modelway audit`: what happened, what was live at a moment, and whether the history is sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from modelway import Client, Query
from modelway.errors import ConnectionLost

from tests.client.conftest import Run
from tests.client.stand_in import StandIn
from tests.client.wire import Fault, Wire

AUDIT = "/audit$"


def entry(number: int, what: str = "version.published", **more: Any) -> dict[str, Any]:
    actor = {"kind": "person", "id": "a" * 24, "name": "ann", "address": "10.0.0.9"}
    about = {"aggregate": "model", "aggregateId": "b" * 24, "revision": number, "details": {}, "hash": "0" * 64}
    return {"id": f"e{number}", "at": 1_800_000_000_000 - number, "what": what, "actor": actor, **about, **more}


@pytest.fixture
def history(stand_in: StandIn) -> list[Any]:
    changed = {"before": {"replicas": 2, "workerCount": None}, "after": {"replicas": 3, "workerCount": 2}}
    stand_in.history = [entry(1, "model.settings-changed", **changed), *(entry(number) for number in range(2, 1203))]
    return stand_in.history


def test_what_happened_is_listed_newest_first_with_what_it_changed(run: Run, history: list[Any]) -> None:
    lines = run("audit", "list", "--limit", "2").stdout.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("2027-01-15 07:59:59.999Z  ann    10.0.0.9  model.settings-changed  ")
    assert lines[1].endswith(f"model {'b' * 24}: replicas 2 to 3, workerCount none to 2")
    shown = json.loads(run("audit", "list", "--limit", "1100", "--json").stdout)
    assert shown == history[:1100]


def test_filters_are_sent_with_times_in_any_of_their_forms(
    run: Run, publish: Run, stand_in: StandIn, wire: Wire
) -> None:
    publish()
    times = ["--since", "2027-01-15T08:00:00Z", "--until", "1800000001"]
    run("audit", "list", "iris", "--actor", "ann", "--action", "token.", *times)
    asked = [each for each in wire.asked if each.path.endswith("/audit")][-1].query
    assert asked == {
        "modelId": next(iter(stand_in.models)),
        "actor": "ann",
        "action": "token.",
        "since": "1800000000000",
        "until": "1800000001000",
        "limit": "50",
    }
    run("audit", "list", "--since", "1800000000123")
    assert wire.asked[-1].query["since"] == "1800000000123"
    assert run("audit", "list").stdout == "Nothing of the kind has happened.\n"


def test_a_time_that_is_none_is_wrong_usage(run: Run, wire: Wire) -> None:
    result = run("audit", "as-of", "yesterday")
    assert result.exit_code == 2
    assert "'yesterday' is not a time: write it like 2026-01-31T12:00:00Z or 1769860800." in result.stderr
    assert not wire.asked


def test_an_export_is_whole_or_not_there(run: Run, history: list[Any], wire: Wire, tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    assert run("audit", "export", file).stdout == f"1202 events in {file}.\n"
    assert [json.loads(line) for line in file.read_text().splitlines()] == history
    assert run("audit", "export", "-").stdout == file.read_text()
    file.unlink()
    wire.faults.append(Fault("GET", AUDIT, "lost-answer"))
    assert run("audit", "export", file).exit_code == 1
    assert not [each for each in tmp_path.iterdir() if "audit" in each.name]


def test_an_export_that_breaks_off_is_an_error_of_the_sdk(client: Client, wire: Wire) -> None:
    wire.faults.append(Fault("GET", AUDIT, "lost-answer"))
    with pytest.raises(ConnectionLost):
        list(client.audit.export(Query()))


def test_a_moment_is_told_in_words(run: Run, stand_in: StandIn, wire: Wire) -> None:
    assert run("audit", "as-of", "1800000000").stdout == "There was no model API at 2027-01-15 08:00:00.000Z.\n"
    canary = {"versionId": "v2", "versionNumber": 2, "share": 12.5}
    stand_in.moment = [
        {
            "modelId": "m1",
            "name": "iris",
            "isArchived": False,
            "routes": {
                "latest": {"versionId": "v1", "versionNumber": 1, "canary": canary},
                "prod": {"versionId": None, "versionNumber": None, "canary": None},
            },
            "versions": [
                {"versionId": "v1", "versionNumber": 1, "artifact": "d" * 64, "deployment": "ready"},
            ],
            "settings": {"replicas": 3, "routingMode": "advanced"},
            "tokens": [{"id": "t", "name": "default"}],
        }
    ]
    assert run("audit", "as-of", "2027-01-15T08:00:00+00:00").stdout == (
        "iris (m1)\n"
        "  latest led to version 1, 12.5 % to version 2\n"
        "  prod led to nobody\n"
        "  version 1 ready, artifact dddddddddddd\n"
        "  3 instances, advanced routing\n"
        "  tokens: default\n"
    )
    assert wire.asked[-1].query == {"time": "1800000000000"}


def test_a_sound_history_is_said_to_be_so_and_another_is_an_error(run: Run, stand_in: StandIn) -> None:
    result = run("audit", "verify")
    assert [result.exit_code, result.stdout] == [0, "12 events of 1 aggregate were read. All is sound.\n"]
    finding = {"aggregate": "model", "aggregateId": "m1", "revision": 4, "what": "an event is missing"}
    stand_in.findings = [finding]
    result = run("audit", "verify")
    assert [result.exit_code, result.stderr] == [1, "Error: model m1, revision 4: an event is missing.\n"]
    shown = json.loads(run("audit", "verify", "--json").stdout)
    assert [shown["is_sound"], shown["findings"][0]["revision"]] == [False, 4]


def test_that_the_bus_could_not_be_asked_is_said_and_is_no_error(run: Run, stand_in: StandIn) -> None:
    stand_in.unwitnessed_because = "the bus is away"
    result = run("audit", "verify")
    assert [result.exit_code, result.stderr] == [
        0,
        "Whether the end of the checkpoints was cut off could not be checked: the bus is away.\n",
    ]


def test_who_answered_a_call_is_told(run: Run, publish: Run, stand_in: StandIn) -> None:
    publish()
    record = {
        "requestId": "6B030B66FD36A2B5",
        "label": "latest",
        "versionId": "v1",
        "versionNumber": 1,
        "instanceId": "00000001-1-1",
        "began": 1_800_000_000_000,
        "seconds": 0.0125,
        "status": 200,
    }
    nobody = {"versionId": None, "versionNumber": None, "instanceId": None, "status": 503, "requestId": "7" * 16}
    stand_in.calls = [record, {**record, **nobody}]
    assert run("audit", "call", "6B030B66FD36A2B5", "iris").stdout == (
        "2027-01-15 08:00:00.000Z  latest led to version 1 (v1), instance 00000001-1-1: 200 after 0.013 s\n"
    )
    assert run("audit", "call", "7" * 16, "iris").stdout == (
        "2027-01-15 08:00:00.000Z  latest led to nobody: 503 after 0.013 s\n"
    )
    assert json.loads(run("audit", "call", "6B030B66FD36A2B5", "iris", "--json").stdout) == [record]
    unknown = run("audit", "call", "8" * 16, "iris")
    assert unknown.exit_code == 1
    assert unknown.stderr == f"Error: there is no record of a call {'8' * 16}.\n"
