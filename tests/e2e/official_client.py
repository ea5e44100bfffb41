"""This program walks through the official Python client against a platform, and prints how each step went.

It runs in an environment of its own, `tests.peers.peer("dominodatalab")`, and imports nothing of ours. Where, and as
whom, is in its environment, by the names that the client itself knows: DOMINO_API_HOST, DOMINO_USER_API_KEY and
DOMINO_USER_NAME, whose key it is; COLLEAGUE is another person's user name. Standard output is one line of JSON a step,
`{"step", "fault"}`: fault is null, or what went wrong. Model APIs that it published stay.
"""

from __future__ import annotations

import io
import json
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import requests  # type: ignore[import-untyped,import-not-found,unused-ignore]
from domino import Domino, exceptions  # type: ignore[import-not-found,unused-ignore]
from domino.domino_enums import ProjectVisibility  # type: ignore[import-not-found,unused-ignore]

ME, COLLEAGUE = os.environ["DOMINO_USER_NAME"], os.environ["COLLEAGUE"]
CODE = b"def predict(x, y):\n    return x + y\n"
OTHER_CODE = b"def predict(x, y):\n    return x * y\n"

STEPS: list[Callable[[], None]] = []


def step(function: Callable[[], None]) -> Callable[[], None]:
    STEPS.append(function)
    return function


def client(project: str = "churn", **credentials: str) -> Any:
    return Domino(f"{ME}/{project}", **credentials)


def names(listed: list[Any]) -> set[str]:
    return {each["name"] for each in listed}


def refused(call: Callable[[], Any], status: int) -> str:
    """What is said of a call that has to fail. The client takes 409 for a session that has ended."""
    try:
        call()
    except requests.HTTPError as error:
        answer = error.response
    else:
        raise AssertionError("it was not refused")
    assert answer.status_code == status, (answer.status_code, answer.text)
    return str(answer.text)


@step
def the_version_is_new_enough() -> None:
    assert client().deployment_version()["version"]
    assert client().requires_at_least("5.11.0")


@step
def a_bearer_token_is_as_good_as_a_key() -> None:
    assert client(auth_token=os.environ["DOMINO_USER_API_KEY"]).environments_list()


@step
def a_wrong_key_opens_nothing() -> None:
    refused(client(api_key="wrong").environments_list, 401)


@step
def users_are_found_by_name_and_by_mail() -> None:
    domino = client()
    assert domino.get_user_id(COLLEAGUE) not in (None, domino.get_user_id(ME))
    assert domino.get_user_id(f"{COLLEAGUE}@example.org") == domino.get_user_id(COLLEAGUE)
    assert domino.get_user_id("nobody") is None


@step
def project_create_v4() -> None:
    domino = client()
    collaborator = {"collaboratorId": domino.get_user_id(COLLEAGUE), "projectRole": "ResultsConsumer"}
    made = domino.project_create_v4(
        "churn",
        owner_username=ME,
        description="who leaves",
        collaborators=[collaborator],
        tags=["first"],
        visibility=ProjectVisibility.PRIVATE,
    )
    assert (made["name"], made["visibility"], names(made["tags"])) == ("churn", "Private", {"first"})
    assert made["id"] == domino.project_id
    assert domino.collaborators_get() == [COLLEAGUE]
    domino.collaborators_remove(COLLEAGUE)


@step
def project_create() -> None:
    assert client().project_create("older").status_code == 200
    assert client("older").project_id


@step
def a_taken_name_is_refused_without_asking_to_sign_in_again() -> None:
    assert "already" in refused(lambda: client().project_create_v4("churn"), 422)


@step
def projects_list() -> None:
    domino = client()
    assert {"churn", "older"} <= names(domino.projects_list())
    assert not {"churn", "older"} & names(domino.projects_list(relationship="Collaborating"))
    assert not {"churn", "older"} & names(domino.projects_list(relationship="Suggesting"))
    domino.project_create_v4("open", visibility=ProjectVisibility.PUBLIC)
    assert names(domino.projects_list(relationship="Popular")) >= {"open"}


@step
def project_archive() -> None:
    domino = client()
    domino.project_archive("older")
    assert "older" not in names(domino.projects_list())
    assert "older" in names(domino.projects_list(show_completed=True))
    domino.project_archive("older")
    try:
        domino.project_archive("nothing")
    except exceptions.ProjectNotFoundException:
        return
    raise AssertionError("it was not missed")


@step
def an_unknown_project_is_not_found() -> None:
    refused(lambda: client("nothing").project_id, 404)
    refused(client("nothing").commits_list, 404)


@step
def files_upload() -> None:
    domino = client()
    assert domino.commits_list() == []
    answer = domino.files_upload("predict.py", io.BytesIO(CODE))
    assert (answer.status_code, answer.json()["path"]) == (201, "predict.py")
    assert domino.files_upload("/data/a.csv", io.BytesIO(b"1,2\n")).status_code == 201
    assert len(domino.commits_list()) == 2


@step
def files_list() -> None:
    domino = client()
    newest, first = domino.commits_list()
    assert [each["path"] for each in domino.files_list(newest)["data"]] == ["data/a.csv", "predict.py"]
    assert [each["path"] for each in domino.files_list(newest, "data")["data"]] == ["data/a.csv"]
    assert [each["path"] for each in domino.files_list(first)["data"]] == ["predict.py"]


@step
def blobs_get() -> None:
    domino = client()
    for file in domino.files_list(domino.commits_list()[0])["data"]:
        content = domino.blobs_get(file["key"]).read()
        assert content == (CODE if file["path"] == "predict.py" else b"1,2\n"), content
    refused(lambda: domino.blobs_get("0" * 40), 404)


@step
def blobs_get_v2() -> None:
    domino = client()
    content = domino.blobs_get_v2("data/a.csv", domino.commits_list()[0], domino.project_id).read()
    assert content == b"1,2\n", content


@step
def files_download_of_a_commit() -> None:
    domino = client()
    assert domino.files_download("/predict.py", domino.commits_list()[0]).read() == CODE
    refused(lambda: domino.files_download("/predict.R", domino.commits_list()[0]), 404)


@step
def files_download_without_a_commit_fails_in_the_client_itself() -> None:
    """It reads `commits[0]["id"]`, while its own tests against the product take the commits to be plain ids."""
    try:
        client().files_download("/predict.py")
    except TypeError:
        return
    raise AssertionError("the client was mended: now it works")


@step
def fork_project() -> None:
    domino = client()
    assert domino.fork_project("copy").status_code == 200
    assert "copy" in names(domino.projects_list())
    copied = client("copy")
    assert len(copied.files_list(copied.commits_list()[0])["data"]) == 2


@step
def tags() -> None:
    domino = client()
    added = domino.tags_add(["second", "third"]).json()
    assert names(domino.tags_list()) == {"first", "second", "third"}
    details = domino.tag_details(added[0]["id"])
    assert (details["_id"], details["name"]) == (added[0]["id"], "second")
    assert details["lastAdded"] is not None
    assert domino.tags_add(["third"]).json()[0]["id"] == domino.tag_get_id("third")
    domino.tags_remove("second")
    assert names(domino.tags_list()) == {"first", "third"}
    assert domino.tags_remove("second") is None


@step
def collaborators() -> None:
    domino = client()
    assert domino.collaborators_get() == []
    assert domino.collaborators_add(COLLEAGUE).status_code == 200
    assert domino.collaborators_add(f"{COLLEAGUE}@example.org").status_code == 200
    assert domino.collaborators_get() == [COLLEAGUE]
    assert domino.collaborators_remove(COLLEAGUE).ok
    assert domino.collaborators_get() == []
    refused(lambda: domino.collaborators_remove(COLLEAGUE), 404)
    try:
        domino.collaborators_add("nobody")
    except exceptions.UserNotFoundException:
        return
    raise AssertionError("nobody was added")


@step
def environments_list_and_default() -> None:
    domino = client()
    default = domino.get_default_environment()
    assert {"id", "name", "visibility"} <= set(default)
    assert default["id"] in {each["id"] for each in domino.environments_list()["data"]}
    assert domino.get_environment(default["id"])["name"] == default["name"]
    assert domino._validate_environment_id(default["id"])


@step
def create_environment() -> None:
    domino = client()
    made = domino.create_environment(f"{ME}-plain", "Private", description="of churn", summary="first", tags=["a"])
    assert made["latestRevision"]["requirements"] == ""
    assert domino._validate_environment_id(made["id"])


@step
def create_environment_revision() -> None:
    domino = client()
    environment = next(each["id"] for each in domino.environments_list()["data"] if each["name"] == f"{ME}-plain")
    instructions = "# small\nRUN pip install --no-cache-dir \\\n    six==1.17.0"
    revised = domino.create_environment_revision(environment, instructions, summary="second")
    assert revised["latestRevision"]["requirements"] == "six==1.17.0"
    assert domino.get_environment(environment)["latestRevision"]["number"] == 2
    assert "apt-get" in refused(lambda: domino.create_environment_revision(environment, "RUN apt-get update"), 400)
    said = refused(lambda: domino.create_environment_revision(environment, base_image="python:3.11"), 400)
    assert "image must be left out" in said, said


@step
def archive_environment() -> None:
    domino = client()
    made = domino.create_environment(f"{ME}-passing", "Private", "RUN pip install six==1.17.0")
    domino.archive_environment(made["id"])
    assert made["id"] not in {each["id"] for each in domino.environments_list()["data"]}
    try:
        domino._validate_environment_id(made["id"])
    except exceptions.EnvironmentNotFoundException:
        return
    raise AssertionError("it may still be used")


@step
def hardware_tiers() -> None:
    domino = client()
    for tier in domino.hardware_tiers_list():
        assert domino.get_hardware_tier_id_from_name(tier["hardwareTier"]["name"]) == tier["hardwareTier"]["id"]
    assert domino.get_hardware_tier_id_from_name("nothing") is None


@step
def model_publish() -> None:
    domino = client()
    assert domino.models_list()["data"] == []
    made = domino.model_publish("predict.py", "predict", "", "churn", "who leaves", ["*.csv"])["data"]
    assert (made["name"], made["description"]) == ("churn", "who leaves")
    [listed] = domino.models_list()["data"]
    assert (listed["id"], listed["_id"], listed["name"]) == (made["_id"], made["_id"], "churn")


@step
def model_version_publish() -> None:
    domino = client()
    [model] = domino.models_list()["data"]
    environment = next(each["id"] for each in domino.environments_list()["data"] if each["name"] == f"{ME}-plain")
    domino.files_upload("predict.py", io.BytesIO(OTHER_CODE))
    second = domino.model_version_publish(model["_id"], "predict.py", "predict", environment, "times")
    assert second["number"] == 2
    newest, oldest = domino.model_versions_get(model["_id"])["data"]
    assert (newest["_id"], newest["metadata"]["number"]) == (second["id"], 2)
    assert oldest["metadata"]["number"] == 1


@step
def what_is_wrong_with_a_model_is_said() -> None:
    domino = client()
    said = refused(lambda: domino.model_publish("predict.txt", "predict", "", "b", "d"), 400)
    assert "file must end in" in said, said
    refused(lambda: domino.model_version_publish("f" * 24, "predict.py", "predict", "", "d"), 404)


def main() -> None:
    warnings.simplefilter("ignore")
    for each in STEPS:
        fault = None
        with redirect_stdout(sys.stderr):
            try:
                each()
            except Exception as error:  # whatever it is, it is this step's
                place = traceback.extract_tb(error.__traceback__)[-1]
                body = getattr(getattr(error, "response", None), "text", "")
                fault = f"{type(error).__name__}: {error} {body} ({place.name}: {place.line})"
        print(json.dumps({"step": each.__name__, "fault": fault}), flush=True)


if __name__ == "__main__":
    main()
