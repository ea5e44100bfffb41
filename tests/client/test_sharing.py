"""What the commands about people and projects do, and what they say about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from modelway import Client
from modelway.errors import PredictionFailed

from tests.client.conftest import Run
from tests.client.stand_in import TOKEN, StandIn
from tests.client.wire import Fault, Wire


def answer(run: Run, *args: str) -> Any:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def iris(publish: Run, stand_in: StandIn) -> str:
    """Published once; its id."""
    publish()
    return next(iter(stand_in.models))


def test_a_model_is_shared_with_people_and_organisations(run: Run, iris: str, stand_in: StandIn) -> None:
    shared = run("share", "iris", "--with", "grace", "--role", "Editor")
    assert [shared.exit_code, shared.stdout] == [0, "grace is an Editor of iris.\n"]
    assert run("share", "iris", "--with", "The Lab", "--role", "Viewer").stdout == "The Lab is a Viewer of iris.\n"
    assert run("collaborators", "iris").stdout.splitlines() == [
        "NAME     ROLE    KIND",
        "ann      Owner   person        owns it",
        "grace    Editor  person",
        "The Lab  Viewer  organisation",
    ]
    assert run("unshare", "iris", "The Lab").stdout == "The Lab has no role in iris any more.\n"
    assert stand_in.people.roles[iris] == {"grace": "Editor"}


def test_what_the_platform_refuses_is_said_in_its_words(run: Run, iris: str) -> None:
    result = run("share", "iris", "--with", "nobody", "--role", "Viewer")
    assert [result.exit_code, result.stderr] == [
        1,
        "Error: collaborator must be a user name, and nobody here is called 'nobody'.\n",
    ]
    assert run("unshare", "iris", "lin").stderr == "Error: there is no collaborator 'lin'.\n"
    assert run("share", "iris", "--with", "lin", "--role", "Boss").exit_code == 2
    assert run("share", "iris", "--with", "lin").exit_code == 2


def test_visibility_restriction_and_ownership(run: Run, iris: str, stand_in: StandIn) -> None:
    assert run("visibility", "iris", "public").stdout == "iris is public.\n"
    assert answer(run, "visibility", "iris", "private")["is_public"] is False
    assert run("restrict", "iris", "off").stdout == "Calls of iris need no access token.\n"
    assert answer(run, "restrict", "iris", "on")["is_restricted"] is True
    assert run("transfer", "iris", "grace").stdout == "grace owns iris.\n"
    found = answer(run, "collaborators", "iris")
    assert [(each["name"], each["role"], each["is_owner"]) for each in found] == [
        ("grace", "Owner", True),
        ("ann", "Editor", False),
    ]
    assert run("leave", "iris").stdout == "You have no role of your own in iris any more.\n"
    assert stand_in.people.roles[iris] == {}


def test_invoke_calls_without_a_token_and_once(run: Run, iris: str, wire: Wire, tmp_path: Path) -> None:
    wire.asked.clear()
    (tmp_path / "body.json").write_text('{"parameters": [2]}')
    for body, stdin in (
        ('{"parameters": [2]}', None),
        (f"@{tmp_path / 'body.json'}", None),
        ("-", '{"parameters": [2]}'),
    ):
        result = run("invoke", "iris", body, "--label", "prod", stdin=stdin)
        assert [result.exit_code, json.loads(result.stdout)] == [0, {"body": {"parameters": [2]}, "label": "prod"}]
    assert wire.count("GET", "/accessTokens") == 0
    assert not [each for each in wire.asked if "Authorization" in each.headers or TOKEN in str(each.headers)]
    wire.asked.clear()
    wire.faults.append(Fault("POST", "/invoke", "lost-answer"))
    assert run("invoke", "iris", "{}").exit_code == 1
    assert wire.count("POST", "/invoke") == 1


def test_a_call_that_fails_says_what_the_model_said(client: Client, iris: str, stand_in: StandIn) -> None:
    stand_in.model_answer = lambda body: (400, {"errors": ["missing x"]})
    with pytest.raises(PredictionFailed) as failed:
        client.invoke("iris", {"data": {}})
    assert (failed.value.status, failed.value.errors) == (400, ("missing x",))


def test_show_tells_a_viewer_all_but_what_is_for_editors(run: Run, iris: str, stand_in: StandIn) -> None:
    stand_in.people.may_see_settings = False
    shown = answer(run, "show", "iris")
    assert (shown["settings"], shown["curl"]) == (None, "modelway invoke iris '{\"parameters\": []}'")
    text = run("show", "iris").stdout
    assert "settings:" not in text
    assert text.endswith("modelway invoke iris '{\"parameters\": []}'\n")


def test_a_project_is_shown_shared_and_archived(run: Run, iris: str) -> None:
    shown = run("project", "show", "flowers").stdout
    assert "name:        ann/flowers\n" in shown
    assert "tags:        flowers\n" in shown
    assert run("project", "share", "flowers", "--with", "grace").stdout == "grace is Contributor of ann/flowers.\n"
    assert "people:      grace (Contributor)" in run("project", "show", "ann/flowers").stdout
    assert run("project", "visibility", "flowers", "searchable").stdout == "ann/flowers is Searchable.\n"
    assert run("project", "archive", "flowers").stdout == "ann/flowers is archived.\n"
    assert "visibility:  Searchable, archived\n" in run("project", "show", "flowers").stdout
    assert run("project", "restore", "flowers").stdout == "ann/flowers is there again.\n"
    assert run("project", "unshare", "flowers", "grace").stdout == "grace has no role in ann/flowers any more.\n"
    assert run("project", "leave", "flowers").exit_code == 0
    value = answer(run, "project", "show", "flowers")
    assert (value["owner"], value["collaborators"], value["commits"]) == ("ann", [], 1)
    assert answer(run, "project", "show", value["id"])["name"] == "flowers"


def test_a_project_that_is_not_there_is_told_by_owner_and_name(run: Run, iris: str) -> None:
    assert run("project", "show", "grace/flowers").stderr == (
        "Error: There is no project grace/flowers: others' projects are named OWNER/NAME.\n"
    )


def test_the_files_of_a_commit_and_what_changed_since_come_on_any_number_of_pages(
    publish: Run, run: Run, iris: str, project: Path, stand_in: StandIn
) -> None:
    first = stand_in.snapshots[-1]["commitId"]
    (project / "model.py").write_text("def predict(x):\n    return x + 1\n")
    (project / "data.csv").unlink()
    (project / "other.csv").write_text("1,2\n")
    publish()
    second = stand_in.snapshots[-1]["commitId"]
    assert [each["path"] for each in answer(run, "project", "files", "flowers")] == ["model.py", "other.csv"]
    assert [each["path"] for each in answer(run, "project", "files", "flowers", "--commit", first)] == [
        "data.csv",
        "model.py",
    ]
    assert [each["path"] for each in answer(run, "project", "files", "flowers", "other")] == ["other.csv"]
    assert run("project", "files", "flowers", "nowhere").stdout == "There is nothing there.\n"
    assert run("project", "diff", "flowers").stdout.splitlines() == [
        "R data.csv",
        "C model.py (29 B -> 33 B)",
        "A other.csv (4 B)",
        f"3 files differ between {first} and {second}.",
    ]
    back = answer(run, "project", "diff", "flowers", "--from", second, "--to", first)
    assert ([each["path"] for each in back["added"]], [each["path"] for each in back["removed"]]) == (
        ["data.csv"],
        ["other.csv"],
    )
    assert [each["path"] for each in back["changed"]] == ["model.py"]
