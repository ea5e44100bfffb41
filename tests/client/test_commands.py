"""This file is what the commands about existing model APIs and the platform answer, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from modelway import Client
from modelway.models import set_running
from modelway.progress import Progress, StatusChanged

from tests.client.conftest import Run
from tests.client.stand_in import API_KEY, FAILED_BUILD, TOKEN, StandIn, Story
from tests.client.wire import Fault, Wire


def answer(run: Run, *args: str | Path) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_predict_sends_the_body_as_it_is_and_prints_the_result(publish: Run, run: Run) -> None:
    publish()
    result = run("predict", "iris", '{"parameters": [1, "ü"]}')
    assert [result.exit_code, result.stdout] == [0, '{"parameters": [1, "ü"]}\n']
    assert answer(run, "predict", "iris", "[1]") == {"result": [1]}


def test_the_body_may_come_from_a_file_or_from_stdin(publish: Run, run: Run, tmp_path: Path) -> None:
    publish()
    (tmp_path / "body.json").write_text("[2]")
    assert run("predict", "iris", f"@{tmp_path / 'body.json'}").stdout == "[2]\n"
    assert run("predict", "iris", "-", stdin="[3]").stdout == "[3]\n"
    assert run("predict", "iris", "@/nowhere").exit_code == 2


def test_predict_exits_1_and_prints_the_errors_when_the_call_fails(publish: Run, run: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.model_answer = lambda body: (400, {"errors": ["predict() missing 1 required argument: 'x'"]})
    result = run("predict", "iris", "{}", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"errors": ["predict() missing 1 required argument: 'x'"]}
    assert result.stderr == "Error: The call was answered with 400: predict() missing 1 required argument: 'x'\n"


@pytest.mark.parametrize("key", ["request_id", "requestId"])
def test_a_failed_call_tells_its_request(publish: Run, run: Run, stand_in: StandIn, key: str) -> None:
    publish()
    stand_in.model_answer = lambda body: (500, {"errors": ["ValueError: no"], key: "0af3"})
    for command in ("predict", "invoke"):
        assert run(command, "iris", "{}").stderr == (
            "Error: The call was answered with 500: ValueError: no (request 0af3)\n"
        )


def test_a_call_is_never_repeated_by_itself(publish: Run, run: Run, wire: Wire) -> None:
    publish()
    wire.asked.clear()
    wire.faults.append(Fault("POST", "/latest/model", "lost-answer"))
    assert run("predict", "iris", "{}").exit_code == 1
    assert wire.count("POST", "/latest/model") == 1


def test_a_model_api_that_is_not_restricted_is_called_without_a_token(
    publish: Run, run: Run, stand_in: StandIn, wire: Wire
) -> None:
    publish()
    (model,) = stand_in.models.values()
    model["isRestricted"] = False
    wire.asked.clear()
    assert run("predict", "iris", "[1]").exit_code == 0
    assert wire.count("GET", "/accessTokens") == 0
    assert "-u" not in answer(run, "show", "iris")["curl"]


def test_show_has_the_endpoint_and_a_curl_line(publish: Run, run: Run) -> None:
    published = json.loads(publish("--json").stdout)
    shown = answer(run, "show", "iris")
    assert shown["endpoint"] == published["endpoint"]
    assert shown["curl"] == (
        f"curl -sS -u {TOKEN}:{TOKEN} -H 'Content-Type: application/json' "
        f"""-d '{{"parameters": []}}' {published["endpoint"]}"""
    )
    assert shown["curl"] in run("show", "iris").stdout


def test_show_tells_of_a_newer_version_that_failed(publish: Run, run: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.story = FAILED_BUILD
    publish()
    shown = answer(run, "show", "iris")
    assert [shown["active_version"]["version"], shown["newest_version"]["version"]] == [1, 2]
    assert "2: Failed, 0 of 2 ready No file wrong.py" in run("show", "iris").stdout


def test_an_unknown_model_is_answered_with_similar_names(publish: Run, run: Run) -> None:
    publish()
    result = run("show", "irsi")
    assert result.exit_code == 1
    assert result.stderr == "Error: There is no model API called irsi: did you mean iris?\n"
    assert json.loads(run("predict", "xyz", "{}", "--json").stdout) == {
        "error": "There is no model API called xyz: `modelway list` shows those there are."
    }


def test_a_name_is_not_a_pattern(publish: Run, run: Run) -> None:
    publish()
    assert run("show", "i.is").exit_code == 1


def test_a_model_api_may_be_named_by_its_id(publish: Run, run: Run) -> None:
    id = json.loads(publish("--json").stdout)["id"]
    assert answer(run, "show", id)["name"] == "iris"


def test_a_name_that_stands_for_several_is_not_guessed(publish: Run, run: Run, stand_in: StandIn) -> None:
    publish()
    (model,) = stand_in.models.values()
    stand_in.copy(model["id"], "f" * 24)
    result = run("show", "iris")
    assert result.exit_code == 1
    assert f"Several model APIs are called iris: give one of their ids instead ({model['id']}, " in result.stderr


def test_list_shows_all_model_apis_however_many_pages(publish: Run, run: Run, stand_in: StandIn) -> None:
    assert run("list").stdout == "There are no model APIs yet.\n"
    publish()
    (model,) = stand_in.models.values()
    for number in range(205):
        stand_in.copy(model["id"], f"{number:f>24}", name=f"model-{number:03}")
    assert [each["name"] for each in answer(run, "list")][:3] == ["iris", "model-000", "model-001"]
    assert len(run("list").stdout.splitlines()) == 207


def test_versions_are_listed_newest_first_with_their_reasons(publish: Run, run: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.story = FAILED_BUILD
    publish()
    listed = answer(run, "versions", "iris")
    assert [(each["version"], each["status"], each["reason"]) for each in listed] == [
        (2, "Failed", "No file wrong.py in the project"),
        (1, "Running", ""),
    ]


def test_cancel_ends_the_build_of_the_newest_version(publish: Run, run: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.story = Story(steps=[("Building", True, "", 0)])
    assert publish("--timeout", "0.5").exit_code == 1
    assert run("cancel", "iris").stdout == "Version 2 of iris: Failed, the build was cancelled by ann\n"
    assert [each["status"] for each in answer(run, "versions", "iris")] == ["Failed", "Running"]


def test_stop_and_start_wait_until_it_is_done(publish: Run, run: Run) -> None:
    publish()
    assert answer(run, "stop", "iris")["status"] == "Stopped"
    assert run("start", "iris", "--version", "1").stdout == "Version 1 of iris: Running\n"


def test_a_stop_is_timed_from_when_it_was_ordered(
    publish: Run, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish()
    now, before_s = time.monotonic, [100.0]
    clock = SimpleNamespace(monotonic=lambda: now() - before_s[0])

    def order(*args: Any, **options: Any) -> Any:
        before_s[0] = 0.0  # it takes so long
        return set_running(*args, **options)

    monkeypatch.setattr("modelway.running.time", clock)
    monkeypatch.setattr("modelway.following.time", clock)
    monkeypatch.setattr("modelway.models.set_running", order)
    told: list[Progress] = []
    client.stop("iris", on_progress=told.append)
    assert {each.elapsed_s >= 100 for each in told if isinstance(each, StatusChanged)} == {True}


def test_start_and_stop_need_not_wait(publish: Run, run: Run) -> None:
    publish()
    assert answer(run, "stop", "iris", "--no-wait")["is_pending"] is True


def test_a_version_that_is_not_there_is_one_sentence(publish: Run, run: Run) -> None:
    publish()
    result = run("start", "iris", "--version", "7")
    assert result.exit_code == 1
    assert result.stderr == "Error: iris does not have a version 7: `modelway versions iris` shows them.\n"


@pytest.mark.parametrize("page_size", [1000, 3, 4])
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_logs_prints_each_line_once_in_order_from_pages_of_any_size(
    publish: Run, run: Run, stand_in: StandIn, page_size: int, follow: list[str]
) -> None:
    stand_in.story = Story(build_log=[f"line {number // 3}" for number in range(20)])
    publish()
    stand_in.log_page_size = page_size
    result = run("logs", "iris", "--kind", "build", "--json", *follow)
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == stand_in.story.build_log


def test_following_an_instances_log_ends_when_the_version_is_at_rest(
    publish: Run, run: Run, stand_in: StandIn, wire: Wire
) -> None:
    stand_in.story = Story(instance_log=["hello"])
    publish()
    (versions,) = stand_in.versions.values()
    steps = [("Running", False, "", 2)] * 3 + [("Stopped", False, "", 0)]
    stand_in.tell(versions[0]["id"], Story(steps=steps, instance_log=["hello", "good bye"]))
    wire.faults.append(Fault("GET", "/instanceLogs", "503", times=2))
    result = run("logs", "iris", "--follow")
    assert [line.split(" ", 2)[2] for line in result.stdout.splitlines()] == ["hello", "good bye"]


def test_an_empty_log_points_to_the_others(publish: Run, run: Run) -> None:
    publish()
    assert run("logs", "iris").stderr == "The instance log has no lines; see --kind build or --kind deployment.\n"


def test_status_exits_0_when_all_is_well(run: Run, wire: Wire) -> None:
    assert answer(run, "status")["is_healthy"] is True
    assert f"Modelway 0.1.0 at {wire.url}" in run("status").stdout


def test_status_exits_1_and_names_what_is_not_well(run: Run, stand_in: StandIn) -> None:
    stand_in.platform["services"].append({"service": "router", "id": "router-1", "lastSeen": None, "isAlive": False})
    stand_in.platform["database"] = "does not answer"
    result = run("status")
    assert result.exit_code == 1
    assert result.stderr == "Error: router router-1 is silent.\nError: The database is not well: does not answer.\n"


def test_config_show_has_url_and_api_key_with_json_and_no_key_without(run: Run, wire: Wire) -> None:
    shown = answer(run, "config", "show")
    assert [shown["url"], shown["api_key"]] == [wire.url, API_KEY]
    assert API_KEY not in run("config", "show").output


def test_a_wrong_api_key_is_one_sentence_without_the_key(run: Run, configuration: Path, wire: Wire) -> None:
    configuration.write_text(f'url = "{wire.url}"\napi_key = "wrong-key"\n')
    result = run("list")
    assert result.exit_code == 1
    assert result.stderr == f"Error: The API key in {configuration} is not accepted by {wire.url}.\n"


@pytest.mark.parametrize(
    "args", [["list"], ["show", "iris"], ["versions", "iris"], ["logs", "iris"], ["status"], ["predict", "iris", "{}"]]
)
def test_every_command_says_in_one_sentence_that_there_is_no_platform(run: Run, wire: Wire, args: list[str]) -> None:
    wire.go_away()
    result = run(*args)
    assert result.exit_code == 1
    assert result.stderr == f"Error: No platform is reachable at {wire.url}: run `make up`.\n"


def test_an_answer_that_makes_no_sense_is_one_sentence(run: Run, stand_in: StandIn) -> None:
    stand_in.platform = ["what"]
    result = run("status")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The platform's answer is not understood (TypeError")


@pytest.mark.parametrize("args", [["nonsense"], ["show"], ["logs", "iris", "--kind", "x"], ["start", "iris", "--x"]])
def test_wrong_usage_exits_2(run: Run, args: list[str]) -> None:
    assert run(*args).exit_code == 2


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "modelway", "--version"], capture_output=True, check=True, timeout=30, text=True
    )
    assert "modelway" in done.stdout
