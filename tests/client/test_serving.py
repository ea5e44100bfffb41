"""This file is what the commands about instances, settings and routes do, and what they say about it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelway import Client
from modelway.errors import GaveUp

from tests.client.conftest import Run
from tests.client.serving import WORKERS
from tests.client.stand_in import StandIn
from tests.client.wire import Fault, Wire

STUCK = [("Running", True, "", 1)]


def answer(run: Run, *args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def iris(publish: Run, stand_in: StandIn) -> str:
    """Published once; its id."""
    publish()
    return next(iter(stand_in.models))


@pytest.fixture
def advanced(publish: Run, run: Run, iris: str) -> str:
    """In advanced mode, with versions 1 (prod) and 2 (latest) running."""
    assert run("settings", "iris", "--set", "routing=advanced").exit_code == 0
    assert run("promote", "iris").exit_code == 0
    publish()
    return iris


def test_scale_waits_until_every_instance_is_there_and_says_how_many(run: Run, iris: str, stand_in: StandIn) -> None:
    result = run("scale", "iris", "8")
    assert [result.exit_code, result.stdout] == [0, "iris has 8 instances.\n"]
    assert "Version 1: Running" in result.stderr
    assert stand_in.serving.settings[iris]["replicas"] == 8


def test_scale_between_bounds_and_back_to_a_number(run: Run, iris: str, stand_in: StandIn) -> None:
    shown = run("scale", "iris", "--min", "1", "--max", "6", "--target", "0.5")
    assert shown.stdout == "iris has 1 to 6 instances from now on, for 0.5 calls each.\n"
    assert stand_in.serving.settings[iris]["scaling"] == {"minReplicas": 1, "maxReplicas": 6, "targetCalls": 0.5}
    assert run("scale", "iris", "--fixed", "1").stdout == "iris has 1 instance.\n"
    assert stand_in.serving.settings[iris]["scaling"] is None


@pytest.mark.parametrize("args", [[], ["2", "--fixed", "3"], ["--min", "1", "--max", "2"], ["0"], ["2", "--max", "3"]])
def test_scale_with_half_of_its_options_is_wrong_usage(run: Run, wire: Wire, args: list[str]) -> None:
    assert run("scale", "iris", *args).exit_code == 2
    assert not wire.asked


def test_a_number_of_instances_beyond_the_bound_is_refused_with_the_platforms_sentence(run: Run, iris: str) -> None:
    result = run("scale", "iris", "99")
    assert [result.exit_code, result.stderr] == [1, "Error: replicas must be between 1 and 32.\n"]


def test_settings_show_what_changing_each_does(run: Run, iris: str) -> None:
    rows = {line.split()[0]: line for line in run("settings", "iris").stdout.splitlines()}
    assert rows["instances"].split() == ["instances", "2", "at", "once"]
    assert rows["workers"].endswith(" restarts")
    assert "1 (the platform's)" in rows["workers"]
    assert "60 s (the platform's)" in rows["timeout"]
    assert rows["health-period"].endswith(" restarts")


def test_a_restarting_setting_names_the_versions_waits_for_them_and_shows_the_receipt(run: Run, iris: str) -> None:
    result = run("settings", "iris", "--set", "workers=2", "--set", "timeout=30", "--set", "health-period=20s")
    assert result.exit_code == 0
    assert "Version 1 restarts, one instance at a time\n" in result.stderr
    assert result.stdout == (
        "The settings of iris are changed.\nIn effect after 0.25 s. 40 calls meanwhile: none failed, "
        "the longest waited 0.02 s. The last call on what was replaced ended after 0.5 s.\n"
    )


def test_what_a_change_does_not_name_stays(run: Run, iris: str, stand_in: StandIn) -> None:
    before = dict(stand_in.serving.settings[iris])
    run("settings", "iris", "--set", "health-failures=12", "--set", "memory=1GiB")
    health = {**before["healthCheck"], "failureThreshold": 12}
    assert stand_in.serving.settings[iris] == {**before, "memoryBytes": 1 << 30, "healthCheck": health}


def test_a_setting_may_be_given_back_to_the_platform(run: Run, iris: str, stand_in: StandIn) -> None:
    run("settings", "iris", "--set", "workers=3")
    run("settings", "iris", "--set", "workers=default")
    assert stand_in.serving.settings[iris]["workerCount"] is None


def test_workers_are_recycled_and_preloaded_as_the_settings_say(run: Run, iris: str, stand_in: StandIn) -> None:
    run("settings", "iris", "--set", "recycle-after=500", "--set", "preload=yes")
    assert stand_in.serving.settings[iris]["recycleAfterCalls"] == 500
    assert stand_in.serving.settings[iris]["preload"] is True
    assert "500 calls" in run("settings", "iris").stdout
    run("settings", "iris", "--set", "recycle-after=never")
    assert stand_in.serving.settings[iris]["recycleAfterCalls"] == 0


def test_variables_are_added_one_by_one_and_their_values_never_shown(
    run: Run, iris: str, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_HERE", "s3cret")
    run("settings", "iris", "--env", "COLOUR=red")
    shown = run("settings", "iris", "--env", "FROM_HERE", "--json")
    assert stand_in.serving.values[iris] == {"COLOUR": "red", "FROM_HERE": "s3cret"}
    assert "s3cret" not in shown.output
    run("settings", "iris", "--unset-env", "COLOUR")
    assert stand_in.serving.values[iris] == {"FROM_HERE": "s3cret"}
    assert run("settings", "iris", "--env", "NOT_HERE").exit_code == 2


def test_volumes_are_added_and_taken_away_by_name(run: Run, iris: str, stand_in: StandIn) -> None:
    run("settings", "iris", "--volume", "a=/srv/a:/a", "--volume", "b=/srv/b:/b:rw")
    run("settings", "iris", "--unset-volume", "a")
    (left,) = stand_in.serving.settings[iris]["volumes"]
    assert left == {"name": "b", "hostPath": "/srv/b", "mountPath": "/b", "readOnly": False}
    assert "b=/srv/b:/b:rw" in run("settings", "iris").stdout


@pytest.mark.parametrize("words", ["colour=red", "workers=many", "memory=lots", "routing=blue", "instances", "cpu="])
def test_a_setting_that_makes_no_sense_is_wrong_usage(run: Run, wire: Wire, words: str) -> None:
    assert run("settings", "iris", "--set", words).exit_code == 2
    assert not wire.asked


def test_a_restart_that_fails_exits_1_with_the_reason_and_the_version_runs_on(
    run: Run, iris: str, stand_in: StandIn
) -> None:
    stand_in.serving.restart_steps = [("Running", True, "", 1), ("Running", False, "five exits", 99)]
    result = run("restart", "iris")
    assert result.exit_code == 1
    assert "Error: Version 1 of iris runs on as it was: five exits.\n" in result.stderr


def test_restart_says_what_it_cost(run: Run, iris: str) -> None:
    assert "40 calls meanwhile: none failed" in run("restart", "iris").stdout
    assert answer(run, "restart", "iris", "--version", "1")["rollouts"][0]["kind"] == "restart"


def test_waiting_ends_at_the_deadline_with_what_lacks(client: Client, iris: str, stand_in: StandIn) -> None:
    stand_in.serving.restart_steps = STUCK
    with pytest.raises(GaveUp, match=r"^iris: not every instance is there after 0\.2 s\.$"):
        client.restart("iris", timeout_s=0.2)


def test_nothing_is_waited_for_with_no_wait(run: Run, iris: str, stand_in: StandIn) -> None:
    stand_in.serving.restart_steps = STUCK
    assert run("restart", "iris", "--no-wait").stdout == "Ordered; not waited for.\n"


def test_a_platform_that_goes_away_while_it_is_waited_for_is_awaited(run: Run, iris: str, wire: Wire) -> None:
    wire.faults += [Fault("PUT", "/settings", "lost-answer"), Fault("GET", "/versions/", "503", times=3)]
    result = run("scale", "iris", "3", "--timeout", "30")
    assert result.exit_code == 0, result.stderr
    assert "Waiting: " in result.stderr


def test_promote_waits_until_prod_leads_there_and_demote_until_it_does_not(
    run: Run, advanced: str, stand_in: StandIn
) -> None:
    assert run("promote", "iris", "--version", "2").stdout.startswith("prod of iris leads to version 2.\nIn effect ")
    assert answer(run, "promote", "iris", "--version", "1")["rollouts"][0]["replaced"] == 2
    listed = answer(run, "versions", "iris")
    assert [(each["version"], each["labels"]) for each in listed] == [(2, ["latest"]), (1, ["prod"])]
    assert run("demote", "iris").stdout == "prod of iris leads nowhere.\n"
    assert "prod" not in stand_in.serving.labels[advanced]
    assert run("demote", "iris").stderr == "Error: prod of iris leads to no version.\n"


def test_promoting_a_version_that_is_stopped_starts_it_first(run: Run, advanced: str, stand_in: StandIn) -> None:
    run("promote", "iris", "--version", "2")
    run("stop", "iris", "--version", "1")
    result = run("promote", "iris", "--version", "1")
    assert "Version 1: Starting" in result.stderr
    assert result.stdout.startswith("prod of iris leads to version 1.\n")


def test_promote_of_a_version_that_fails_exits_1_with_its_reason(run: Run, advanced: str, stand_in: StandIn) -> None:
    run("promote", "iris", "--version", "2")
    run("stop", "iris", "--version", "1")
    first = stand_in.versions[advanced][0]["id"]
    start = stand_in.serving._tell
    stand_in.serving._tell = lambda id, steps: start(id, [("Starting", True, "", 0), ("Failed", False, "no luck", 0)])
    result = run("promote", "iris", "--version", "1")
    assert result.exit_code == 1
    assert "Error: Version 1 of iris failed: no luck.\n" in result.stderr
    assert stand_in.serving.labels[advanced]["prod"] != first


def test_promote_in_basic_mode_is_the_platforms_sentence(run: Run, iris: str) -> None:
    assert run("promote", "iris").stderr.startswith("Error: The routing mode is basic, ")


def test_rollback_goes_back_in_one_step_and_says_where_to(publish: Run, run: Run, iris: str) -> None:
    assert "Error: latest has led to no other version before.\n" in run("rollback", "iris").stderr
    publish()
    result = run("rollback", "iris")
    assert result.stdout.startswith("latest of iris is back at version 1.\nIn effect after 0.25 s. ")
    assert run("rollback", "iris", "--label", "latest").stdout.startswith("latest of iris is back at version 2.\n")


def test_rollback_takes_prod_where_that_leads_anywhere(run: Run, advanced: str) -> None:
    run("promote", "iris", "--version", "2")
    assert answer(run, "rollback", "iris")["rollouts"][0]["label"] == "prod"


def test_a_demotion_is_rolled_back_too(run: Run, advanced: str) -> None:
    assert run("demote", "iris").exit_code == 0
    assert run("rollback", "iris").stdout.startswith("prod of iris is back at version 1.\n")


def test_a_rollback_whose_answer_is_lost_is_made_once(publish: Run, run: Run, iris: str, wire: Wire) -> None:
    publish()
    wire.faults.append(Fault("POST", "/rollback", "lost-request"))
    assert run("rollback", "iris").exit_code == 0
    keys = {each.headers["Idempotency-Key"] for each in wire.asked if each.path.endswith("/rollback")}
    assert [wire.count("POST", "/rollback"), len(keys)] == [2, 1]


def test_a_canary_is_shown_widened_and_completed(publish: Run, run: Run, advanced: str, stand_in: StandIn) -> None:
    assert run("canary", "iris").stdout == "There is no canary.\n"
    result = run("canary", "iris", "--version", "2", "--share", "10")
    assert result.stdout == "Version 2 answers 10 % of the calls of prod.\n"
    shown = [line.split() for line in run("canary", "iris").stdout.splitlines()]
    assert shown[1:] == [
        ["prod", "1", "90", "%", "90", "1", "12", "ms", "200", "ms"],
        ["prod", "2", "(canary)", "10", "%", "90", "1", "12", "ms", "200", "ms"],
    ]
    run("canary", "iris", "--share", "50")
    assert stand_in.serving.canaries[advanced]["prod"]["share"] == 50
    assert run("canary", "iris", "--complete").stdout.startswith("prod of iris leads to version 2.\n")
    assert stand_in.serving.canaries[advanced] == {}


def test_a_canary_is_withdrawn(publish: Run, run: Run, advanced: str, stand_in: StandIn) -> None:
    run("canary", "iris", "--share", "10", "--label", "prod")
    assert run("canary", "iris", "--withdraw").stdout == "prod of iris has no canary any more.\n"
    assert answer(run, "canary", "iris") == []
    assert "Error: iris has no canary, or several: name a label.\n" in run("canary", "iris", "--complete").stderr


@pytest.mark.parametrize("args", [["--complete", "--withdraw"], ["--share", "5", "--complete"], ["--version", "2"]])
def test_a_canary_command_that_says_two_things_is_wrong_usage(run: Run, wire: Wire, args: list[str]) -> None:
    assert run("canary", "iris", *args).exit_code == 2
    assert not wire.asked


def test_show_has_routes_settings_and_the_last_rollouts(run: Run, advanced: str) -> None:
    shown = answer(run, "show", "iris")
    assert [(each["label"], each["version"]) for each in shown["routes"]] == [("latest", 2), ("prod", 1)]
    assert shown["routes"][1]["endpoint"].endswith("/labels/prod/model")
    assert shown["settings"]["effective"] == {"workerCount": 1, "requestTimeoutSeconds": 60}
    assert [each["label"] for each in shown["rollouts"]] == ["latest", "prod", "latest"]
    text = run("show", "iris").stdout
    assert "2 instances, 2 GiB each, 1 worker each, request timeout 60 s" in text
    assert "LAST ROLLOUTS" in text


def test_predict_calls_the_label_that_is_named(run: Run, advanced: str, wire: Wire) -> None:
    assert run("predict", "iris", "[1]", "--label", "prod").stdout == "[1]\n"
    assert wire.count("POST", "/labels/prod/model") == 1


def test_archive_ends_all_of_it_and_restore_brings_it_back(run: Run, iris: str) -> None:
    assert run("archive", "iris").stdout == f"iris is archived; its id is {iris}.\n"
    assert run("show", "iris").exit_code == 1
    assert run("restore", "iris").stdout == "iris is there again: `modelway start iris`.\n"
    assert run("start", "iris").stdout == "Version 1 of iris: Running\n"
    assert run("restore", "iris").stderr.startswith("Error: There is no archived model API called iris")


def test_quotas_are_added_chosen_and_hidden(run: Run, iris: str, stand_in: StandIn) -> None:
    assert run("quotas", "list").stdout == "There are no resource quotas yet.\n"
    run("quotas", "add", "small", "--cpu", "1", "--memory", "1GiB")
    quota = answer(run, "quotas", "default", "small")
    assert [quota["is_default"], quota["memory_limit_bytes"]] == [True, 1 << 30]
    run("settings", "iris", "--set", "quota=small")
    assert stand_in.serving.settings[iris]["resourceQuotaId"] == quota["id"]
    assert "small" in run("settings", "iris").stdout
    assert run("quotas", "hide", "small").stdout == "small is hidden; models that have it keep it.\n"


def test_central_configuration_is_read_and_set_by_short_keys(run: Run, iris: str) -> None:
    assert answer(run, "central", "get", "workerCount")["key"] == WORKERS
    assert run("central", "pending").stdout == "Every running version has picked up every change.\n"
    assert run("central", "set", "uWsgi.workerCount", "2").stdout.startswith(f"{WORKERS} is 2; ")
    assert answer(run, "central", "pending")[0]["keys"] == [WORKERS]
    assert "2 (the platform's)" in run("settings", "iris").stdout
    assert run("central", "unset", WORKERS).stdout == f"{WORKERS} is 1 again, its default.\n"
    assert run("central", "set", "workerCount", "0").exit_code == 1
    assert run("central", "get", "nothing").exit_code == 1
