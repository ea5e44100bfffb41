"""This file is what `modelway publish` promises, step by step and when things go wrong."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from modelway import Client, Plan
from modelway.errors import ConnectionLost, GaveUp, UnfitDirectory
from modelway.progress import PlatformAwaited, Progress, StatusChanged

from tests.client.conftest import Run
from tests.client.stand_in import API_KEY, FAILED_BUILD, FAILED_START, RUNNING, TOKEN, StandIn, Story
from tests.client.wire import Fault, FaultKind, Wire


def plan(project: Path) -> Plan:
    return Plan(directory=project, name="iris", file="model.py", function="predict")


def test_publish_ends_with_the_endpoint_and_a_curl_line_on_stdout(publish: Run, wire: Wire) -> None:
    result = publish()
    assert result.exit_code == 0
    endpoint, curl = result.stdout.splitlines()
    assert endpoint.startswith(f"{wire.url}/models/")
    assert curl.startswith(f"curl -sS -u {TOKEN}:{TOKEN} -H 'Content-Type: application/json' -d ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_line_works_as_pasted(publish: Run) -> None:
    body = '{"data": {"name": "it\'s"}}'
    curl = json.loads(publish("--example", body, "--json").stdout)["curl"]
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, check=True, timeout=20, text=True)
    assert json.loads(answer.stdout) == {"result": json.loads(body)}


def test_what_happens_is_shown_on_stderr(publish: Run) -> None:
    shown = publish().stderr
    for text in ("Uploaded 2 of 2 files", "version 1 of iris", "Building", "| Resolving", "| Installing", "Running"):
        assert text in shown
    assert shown.count("Resolving") == 1


def test_a_second_publish_uploads_only_what_changed_and_adds_a_version(
    publish: Run, wire: Wire, project: Path, stand_in: StandIn
) -> None:
    publish()
    (project / "model.py").write_text("def predict(x):\n    return x + 1\n")
    result = publish("--json")
    assert json.loads(result.stdout)["version"] == 2
    assert wire.count("PUT", "/blobs/") == 3
    assert [len(stand_in.projects), len(stand_in.environments), len(stand_in.models)] == [1, 1, 1]


def test_equal_contents_are_uploaded_once(publish: Run, wire: Wire, project: Path) -> None:
    (project / "copy.csv").write_bytes((project / "data.csv").read_bytes())
    publish()
    assert wire.count("PUT", "/blobs/") == 2


def test_the_project_has_the_directorys_name_unless_another_is_given(publish: Run, stand_in: StandIn) -> None:
    publish()
    publish("--project", "other")
    assert [project["name"] for project in stand_in.projects.values()] == ["flowers", "other"]


def test_changed_requirements_make_a_new_revision_and_unchanged_ones_do_not(
    publish: Run, stand_in: StandIn, tmp_path: Path
) -> None:
    requirements = tmp_path / "requirements.txt"
    for text in ("numpy\n", "numpy\n", "numpy\npandas\n"):
        requirements.write_text(text)
        assert publish("--requirements", requirements).exit_code == 0
    (environment,) = stand_in.environments.values()
    assert environment["name"] == "iris"
    assert environment["latestRevision"]["number"] == 2


def test_a_publish_without_requirements_keeps_those_of_before(publish: Run, stand_in: StandIn, tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("numpy\n")
    publish("--requirements", requirements)
    publish()
    (environment,) = stand_in.environments.values()
    assert environment["latestRevision"]["requirements"] == "numpy\n"


def test_instances_and_memory_reach_the_model_api_and_change_with_the_next_publish(
    publish: Run, stand_in: StandIn
) -> None:
    publish("--instances", "3", "--memory", "2GiB")
    (settings,) = stand_in.serving.settings.values()
    assert [settings["replicas"], settings["memoryBytes"]] == [3, 2 * 2**30]
    publish("--instances", "4")
    (settings,) = stand_in.serving.settings.values()
    assert [settings["replicas"], settings["memoryBytes"]] == [4, 2 * 2**30]


def test_a_failed_build_exits_1_with_the_reason_and_the_build_log(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = FAILED_BUILD
    result = publish("--json")
    assert result.exit_code == 1
    assert "Error: Version 1 of iris failed: No file wrong.py in the project.\n" in result.stderr
    assert result.stderr.count("wrong.py is not there") == 1
    answer = json.loads(result.stdout)
    assert [answer["log_kind"], answer["log_tail"]] == ["build", ["Unpacking", "wrong.py is not there"]]


def test_a_failed_start_exits_1_with_the_reason_and_the_instances_log(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = FAILED_START
    result = publish()
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: Version 1 of iris failed: ValueError at import of model.py.\n")
    assert "The end of the instance log:\n  | Traceback (most recent call last):\n" in result.stderr


def test_a_failed_start_without_instance_log_shows_the_deployments(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = Story(**{**vars(FAILED_START), "instance_log": []})
    assert "deployment log:\n  | Five exits" in publish().stderr


def test_a_stalled_version_ends_the_wait_and_publishing_again_makes_a_new_one(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = Story(steps=[("Stalled", True, "The start deadline of 300 s has passed", 0)])
    result = publish()
    assert result.exit_code == 1
    assert "has stalled: The start deadline of 300 s has passed." in result.stderr
    stand_in.story = Story()
    assert json.loads(publish("--json").stdout)["version"] == 2


def test_a_version_that_somebody_stops_while_it_is_built_ends_the_wait(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = Story(steps=[("Building", True, "", 0), ("Ready to run", False, "", 0)])
    result = publish()
    assert result.exit_code == 1
    assert "Version 1 of iris was stopped before it ran" in result.stderr


def test_a_version_may_only_be_built_for_now(publish: Run, stand_in: StandIn) -> None:
    stand_in.story = Story(steps=[("Building", True, "", 0), ("Ready to run", False, "", 0)])
    result = publish("--no-deploy")
    assert [result.exit_code, result.stdout] == [0, "Version 1 of iris: Ready to run\n"]
    (versions,) = stand_in.versions.values()
    assert versions[0]["shouldDeploy"] is False
    stand_in.story = FAILED_BUILD
    assert publish("--no-deploy").exit_code == 1


def test_a_publish_changes_only_the_settings_that_differ(publish: Run, stand_in: StandIn, wire: Wire) -> None:
    same = ("--memory", "2GiB", "--workers", "2", "--recycle-after", "500", "--preload")
    publish(*same, "--env", "COLOUR=red")
    wire.asked.clear()
    publish(*same)
    assert wire.count("PUT", "/settings") == 0
    publish("--request-timeout", "30", "--env", "SIZE=big")
    (settings,), (values,) = stand_in.serving.settings.values(), stand_in.serving.values.values()
    assert [settings["workerCount"], settings["requestTimeoutSeconds"]] == [2, 30]
    assert [settings["recycleAfterCalls"], settings["preload"]] == [500, True]
    assert values == {"COLOUR": "red", "SIZE": "big"}


def test_settings_that_are_refused_are_said_before_a_version_is_published(publish: Run, stand_in: StandIn) -> None:
    publish()
    assert publish("--quota", "huge").stderr.endswith(
        "Error: There is no resource quota called huge: there are none yet.\n"
    )
    (versions,) = stand_in.versions.values()
    assert len(versions) == 1


def test_a_language_that_is_said_reaches_the_version(publish: Run, stand_in: StandIn) -> None:
    assert publish("--language", "python").exit_code == 0
    assert publish("--language", "cobol").exit_code == 2
    (versions,) = stand_in.versions.values()
    assert [each["source"].get("language") for each in versions] == ["python"]


def test_the_example_goes_with_the_version_and_into_the_curl_line(
    publish: Run, stand_in: StandIn, tmp_path: Path
) -> None:
    file = tmp_path / "example.json"
    file.write_text('{"parameters": [7]}')
    assert "-d '{\"parameters\": [7]}'" in publish("--example", file).stdout
    (versions,) = stand_in.versions.values()
    assert versions[0]["exampleInput"] == {"parameters": [7]}


def test_a_project_name_that_is_refused_is_named(publish: Run, stand_in: StandIn) -> None:
    stand_in.projects["1"] = {"id": "1", "name": "taken", "ownerName": "somebody else"}
    result = publish("--project", "taken")
    assert result.exit_code == 1
    assert "The project 'taken' cannot be created, choose another name for it: The name is taken." in result.stderr


@pytest.mark.parametrize("kind", ["503", "lost-request", "lost-answer"])
@pytest.mark.parametrize(
    ("method", "pattern"),
    [
        ("POST", "/v4/projects"),
        ("POST", "/missingBlobs"),
        ("PUT", "/blobs/"),
        ("POST", "/snapshots"),
        ("POST", "/environments$"),
        ("POST", "/modelApis$"),
        ("POST", "/versions$"),
        ("POST", "/revisions$"),
        ("GET", "/buildLogs"),
        ("GET", "/versions/"),
        ("GET", "/secret"),
    ],
)
def test_a_request_that_is_lost_is_made_again_and_nothing_is_made_twice(
    publish: Run, wire: Wire, stand_in: StandIn, tmp_path: Path, method: str, pattern: str, kind: FaultKind
) -> None:
    fault = Fault(method, pattern, kind)
    wire.faults.append(fault)
    requirements = tmp_path / "requirements.txt"
    for text in ("numpy\n", "pandas\n"):
        requirements.write_text(text)
        assert publish("--requirements", requirements).exit_code == 0
    assert fault.times == 0
    (versions,) = stand_in.versions.values()
    (environment,) = stand_in.environments.values()
    assert [len(versions), environment["latestRevision"]["number"], len(stand_in.projects)] == [2, 2, 1]


def test_a_repeated_post_carries_the_same_idempotency_key(publish: Run, wire: Wire) -> None:
    wire.faults.append(Fault("POST", "/modelApis$", "lost-request"))
    publish()
    keys = [each.headers["Idempotency-Key"] for each in wire.asked if each.path.endswith("/modelApis") and each.body]
    assert len(keys) == 2
    assert len(set(keys)) == 1


def test_a_platform_that_goes_away_and_comes_back_does_not_end_the_wait(
    client: Client, wire: Wire, project: Path
) -> None:
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        match progress:
            case StatusChanged(status="Building"):
                wire.go_away()
            case PlatformAwaited(reason=reason) if "reachable" in reason:
                wire.come_back()

    published = client.publish(plan(project), timeout_s=30, on_progress=on_progress)
    assert published.version.status == "Running"
    assert any(isinstance(each, PlatformAwaited) for each in seen)


def test_a_publish_that_was_interrupted_is_taken_up_again_without_a_second_version(
    client: Client, project: Path, stand_in: StandIn
) -> None:
    stand_in.story = Story(steps=[("Building", True, "", 0)])
    with pytest.raises(GaveUp, match=r"^Version 1 of iris is still 'Building' after 0\.3 s\.$"):
        client.publish(plan(project), timeout_s=0.3)
    (versions,) = stand_in.versions.values()
    stand_in.tell(versions[0]["id"], Story())
    stand_in.story = Story()
    assert client.publish(plan(project)).version.number == 1
    assert client.publish(plan(project)).version.number == 2


def test_the_version_counts_as_published_only_when_latest_points_to_it(
    client: Client, project: Path, stand_in: StandIn
) -> None:
    client.publish(plan(project))
    (model,) = stand_in.models.values()
    labels = stand_in.serving.labels[model["id"]]
    first = labels["latest"]
    looks: list[str] = []

    def on_progress(progress: Progress) -> None:
        if isinstance(progress, StatusChanged) and progress.status == "Running":
            second = stand_in.versions[model["id"]][1]
            labels["latest"] = first
            stand_in.serving.promised.pop(second["id"], None)
            stand_in.tell(second["id"], Story(steps=[RUNNING]))
            answer = stand_in._get_model

            def look(asked: object, model_id: str) -> tuple[int, object]:
                looks.append(model_id)
                if len(looks) == 3:
                    labels["latest"] = second["id"]
                return answer(asked, model_id)  # type: ignore[arg-type]

            stand_in._get_model = look  # type: ignore[method-assign]

    assert client.publish(plan(project), on_progress=on_progress).version.number == 2
    assert len(looks) == 3


def test_a_file_that_changes_while_it_is_uploaded_is_named(client: Client, project: Path) -> None:
    def on_progress(progress: Progress) -> None:
        (project / "data.csv").write_text("3,4\n")

    with pytest.raises(UnfitDirectory, match=r"^data\.csv changed while it was uploaded: publish again\.$"):
        client.publish(plan(project), on_progress=on_progress)


def test_a_connection_that_always_breaks_is_given_up_before_the_deadline(
    client: Client, project: Path, wire: Wire
) -> None:
    wire.faults.append(Fault("POST", "/missingBlobs", "lost-request", times=1000))
    with pytest.raises(ConnectionLost):
        client.publish(plan(project))
    assert wire.count("POST", "/missingBlobs") == 10


def test_a_directory_that_is_an_mlflow_model_needs_no_file_and_no_function(
    client: Client, project: Path, wire: Wire, stand_in: StandIn
) -> None:
    (project / "MLmodel").write_text("flavors: {}\n")
    client.publish(Plan(directory=project, name="churn"))
    (version,) = next(iter(stand_in.versions.values()))
    assert version["source"]["file"] == "MLmodel"
    assert version["source"]["function"] == "predict"


@pytest.mark.parametrize(("file", "function"), [("", ""), ("", "predict"), ("model.py", "")])
def test_any_other_directory_needs_both(client: Client, project: Path, wire: Wire, file: str, function: str) -> None:
    with pytest.raises(UnfitDirectory, match="is no MLflow model: name"):
        client.publish(Plan(directory=project, name="churn", file=file, function=function))
    assert not wire.asked


def test_publish_says_at_once_when_there_is_no_platform(publish: Run, wire: Wire) -> None:
    wire.go_away()
    result = publish()
    assert result.exit_code == 1
    assert result.stderr.endswith(f"Error: No platform is reachable at {wire.url}: run `make up`.\n")


def test_a_symbolic_link_is_refused_with_one_sentence(publish: Run, project: Path, wire: Wire) -> None:
    (project / "link").symlink_to("/etc/hostname")
    result = publish()
    assert result.exit_code == 1
    assert "Error: link is a symbolic link, which cannot be published" in result.stderr
    assert not wire.asked


@pytest.mark.parametrize(
    "args", [["--instances", "0"], ["--memory", "lots"], ["--example", "{"], ["--requirements", "/nowhere"]]
)
def test_wrong_usage_exits_2_before_anything_is_asked(publish: Run, wire: Wire, args: list[str]) -> None:
    assert publish(*args).exit_code == 2
    assert not wire.asked


def test_neither_the_api_key_nor_the_access_token_is_shown_on_stderr(publish: Run) -> None:
    shown = publish().stderr
    assert API_KEY not in shown
    assert TOKEN not in shown
