"""What a data scientist does, through the command line and HTTP only, on a whole platform."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.platform import Callers, Platform, write_project
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

V1 = "/api/modelServing/v1"
SUM = "factor = 1\ndef predict(x, y):\n    return factor * (x + y)\n"


@pytest.fixture(scope="module")
def sums(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model API that runs, published from the command line."""
    project = write_project(tmp_path_factory.mktemp("project") / "sums", SUM)
    shown = platform.done("publish", str(project), "--name", "sums", "--file", "predict.py", "--function", "predict")
    assert shown["endpoint"].startswith(platform.url)
    return "sums"


def test_a_published_function_answers_by_name_and_by_place(platform: Platform, sums: str) -> None:
    by_name = platform.done("predict", sums, '{"data": {"x": 1, "y": 2}}')
    by_place = platform.done("predict", sums, '{"parameters": [1, 2]}')
    assert by_name["result"] == by_place["result"] == 3
    assert by_name["release"]["model_version_number"] == 1
    assert len(by_name["request_id"]) == 16
    assert isinstance(by_name["model_time_in_ms"], int)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_printed_curl_line_is_a_call_that_the_function_takes(platform: Platform, sums: str) -> None:
    line = shlex.split(platform.done("show", sums)["curl"])
    answer = subprocess.run(line, capture_output=True, check=True, timeout=30)
    assert json.loads(answer.stdout)["result"] == 0


def test_arguments_that_do_not_fit_are_answered_400_with_the_parameter(platform: Platform, sums: str) -> None:
    ran = platform.cli("predict", sums, '{"data": {"x": 1}}')
    assert ran.code == 1
    assert "missing 1 required" in ran.err + ran.out
    assert "'y'" in ran.err + ran.out


def endpoint(platform: Platform, name: str) -> tuple[str, str]:
    """The URL and the token of a model, as the printed curl line has them."""
    shown = platform.done("show", name)
    credentials = shown["curl"].split("-u ")[1].split()[0]
    return shown["endpoint"], credentials.split(":")[0]


@pytest.fixture(scope="module")
def viewer(platform: Platform, sums: str) -> Iterator[httpx.Client]:
    """Somebody in front of a browser, who has a role in one model."""
    known = {"userName": "vera", "password": f"a {secrets.token_hex(12)} b"}
    with platform.http() as http:
        added = http.post(f"{V1}/people", json={**known, "fullName": "Vera"})
        assert added.status_code == 201, added.text
    with httpx.Client(base_url=platform.url, timeout=30) as browser:
        session = browser.post(f"{V1}/session", json=known)
        assert session.status_code == 200, session.text
        browser.headers["X-CSRF-Token"] = session.json()["csrfToken"]
        assert browser.get(f"{V1}/modelApis/{model_id(platform, sums)}").status_code == 404
        platform.done("share", sums, "--with", "vera", "--role", "Viewer")
        yield browser


def model_id(platform: Platform, name: str) -> str:
    return str(platform.done("show", name)["id"])


def test_a_collaborator_calls_a_private_model_and_is_shown_no_token(
    platform: Platform, sums: str, viewer: httpx.Client
) -> None:
    at = f"{V1}/modelApis/{model_id(platform, sums)}"
    assert viewer.get(at).json()["access"] == {"isPublic": False, "isRestricted": True, "accessTokens": []}
    assert [viewer.get(f"{at}/{what}").status_code for what in ("accessTokens", "settings")] == [403, 403]
    called = viewer.post(f"{at}/invoke", json={"data": {"x": 1, "y": 2}})
    assert (called.status_code, called.json()["result"]) == (200, 3), called.text
    assert called.headers["X-Modelway-Request-Id"] == called.json()["request_id"]
    unfit = viewer.post(f"{at}/invoke", json={"data": {"x": 1}})
    assert (unfit.status_code, "missing 1 required" in unfit.json()["errors"][0]) == (400, True)
    assert platform.done("invoke", sums, '{"parameters": [2, 3]}')["result"] == 5
    assert len(platform.done("collaborators", sums)) == 2


def test_calls_need_no_token_while_a_model_is_not_restricted_at_every_router(platform: Platform, sums: str) -> None:
    place = f"/models/{model_id(platform, sums)}/latest/model"

    def statuses() -> set[int]:
        return {httpx.post(url + place, json={"parameters": [1, 2]}).status_code for url in platform.urls}

    for word, status in (("off", 200), ("on", 401)):
        platform.done("restrict", sums, word)
        wait_for(lambda status=status: statuses() == {status}, 10, what=f"{word} is in effect")  # type: ignore[misc]


def test_the_router_asks_for_the_models_own_token(platform: Platform, sums: str) -> None:
    url, token = endpoint(platform, sums)
    body = {"parameters": [1, 2]}
    unknown = url.replace(url.split("/models/")[1][:24], "f" * 24)
    assert httpx.post(url, json=body, auth=(token, token)).status_code == 200
    assert httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    for auth in (None, ("x" * 64, "x" * 64), (token, "other")):
        answer = httpx.post(url, json=body, auth=auth)
        assert answer.status_code == 401
        assert answer.json()["errors"]
    assert httpx.post(unknown, json=body, auth=(token, token)).status_code == 404
    assert len(httpx.post(unknown, json=body).headers["X-Request-Id"]) == 16


def test_a_revoked_token_is_refused_and_a_new_one_opens(platform: Platform, sums: str) -> None:
    url, old = endpoint(platform, sums)
    with platform.http() as http:
        model_id = url.split("/models/")[1][:24]
        tokens = f"/api/modelServing/v1/modelApis/{model_id}/accessTokens"
        created = http.post(tokens, json={"name": "second"}).json()

        def status(token: str) -> int:
            return httpx.post(url, json={"parameters": [1, 2]}, auth=(token, token)).status_code

        wait_for(lambda: status(created["token"]) == 200, 10, what="the new token opens")
        assert http.delete(f"{tokens}/{created['id']}").status_code == 204
        wait_for(lambda: status(created["token"]) == 401, 10, what="the revoked token is refused")
        assert status(old) == 200


def test_logs_status_and_versions_are_shown(platform: Platform, sums: str) -> None:
    assert platform.done("versions", sums)
    for kind in ("build", "deployment"):
        assert platform.cli("logs", sums, "--kind", kind).out.strip(), kind
    status = platform.cli("status")
    assert status.code == 0
    for service in ("api", "builder", "deployer", "router", "monitor"):
        assert service in status.out


def test_what_the_function_prints_is_in_the_instance_log(platform: Platform, tmp_path: Path) -> None:
    script = "def predict():\n    print('hello from inside')\n    return 1\n"
    project = write_project(tmp_path / "prints", script)
    platform.done("publish", str(project), "--name", "prints", "--file", "predict.py", "--function", "predict")
    platform.done("predict", "prints", '{"parameters": []}')
    wait_for(
        lambda: "hello from inside" in platform.cli("logs", "prints", "--kind", "instance").out, 15, what="the line"
    )


def status_of(platform: Platform, name: str, number: int) -> str:
    versions: list[dict[str, Any]] = platform.done("versions", name)
    return str(next(each["status"] for each in versions if each["version"] == number))


def test_a_new_version_takes_over_without_a_failed_request(platform: Platform, sums: str, tmp_path: Path) -> None:
    url, token = endpoint(platform, sums)
    with Callers(url, token, {"parameters": [1, 2]}).calling() as callers:
        project = write_project(tmp_path / "sums", SUM.replace("factor = 1", "factor = 10"))
        command = ("publish", str(project), "--name", sums, "--file", "predict.py", "--function", "predict")
        platform.done(*command)
        wait_for(
            lambda: platform.done("predict", sums, '{"parameters": [1, 2]}')["result"] == 30,
            30,
            what="version 2 answers",
        )
        wait_for(lambda: status_of(platform, sums, 1) == "Stopped", 60, what="version 1 is stopped")
    assert callers.failures == []
    assert callers.sent > 50


def test_a_stopped_model_answers_503_and_comes_back_when_it_is_started(platform: Platform, tmp_path: Path) -> None:
    project = write_project(tmp_path / "pausing", SUM)
    platform.done("publish", str(project), "--name", "pausing", "--file", "predict.py", "--function", "predict")
    url, token = endpoint(platform, "pausing")
    platform.done("stop", "pausing")
    answer = httpx.post(url, json={"parameters": [1, 2]}, auth=(token, token))
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    platform.done("start", "pausing")
    assert platform.done("predict", "pausing", '{"parameters": [1, 2]}')["result"] == 3


BROKEN = [
    ("unknown file", {"--file": "absent.py"}, SUM, "absent.py"),
    ("unknown function", {"--function": "absent"}, SUM, "absent"),
    ("syntax error", {}, "def predict(x, y)\n    return x\n", "predict.py"),
    ("exception at import", {}, "import nothing_of_this_name\ndef predict(x): return x\n", "nothing_of_this_name"),
    ("requirement", {"requirements": "no-such-package-in-the-index-at-all==1.0\n"}, SUM, "no-such-package"),
]


@pytest.mark.parametrize(("what", "changes", "script", "named"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_version_that_fails_says_why_in_one_sentence_and_the_one_before_goes_on_serving(
    platform: Platform, sums: str, tmp_path: Path, what: str, changes: dict[str, str], script: str, named: str
) -> None:
    project = write_project(tmp_path / "sums", script)
    options = {"--file": "predict.py", "--function": "predict", **changes}
    if requirements := options.pop("requirements", ""):
        (tmp_path / "requirements.txt").write_text(requirements)
        options["--requirements"] = str(tmp_path / "requirements.txt")
    arguments = [word for pair in options.items() for word in pair]
    url, token = endpoint(platform, sums)
    with Callers(url, token, {"parameters": [1, 2]}).calling(1) as callers:
        ran = platform.cli("publish", str(project), "--name", sums, *arguments)
    assert ran.code == 1, what
    assert named in ran.err + ran.out
    newest = max(platform.done("versions", sums), key=lambda version: int(version["version"]))
    assert newest["status"] == "Failed"
    assert named in newest["reason"]
    assert "\n" not in newest["reason"]
    assert callers.failures == []


def test_a_version_that_does_not_become_ready_in_time_is_stalled_with_the_reason(
    platform: Platform, tmp_path: Path
) -> None:
    with platform.http() as http:
        project = write_project(tmp_path / "hanging", SUM)
        platform.done("publish", str(project), "--name", "hanging", "--file", "predict.py", "--function", "predict")
        shown = platform.done("show", "hanging")
        base = "/api/modelServing/v1/modelApis"
        model = http.get(f"{base}/{shown['id']}").json()
        version = http.get(f"{base}/{model['id']}/versions/{model['activeVersion']['id']}").json()
        slow = write_project(tmp_path / "hanging", "import time\ntime.sleep(3600)\n" + SUM)
        platform.cli("publish", str(slow), "--name", "unused", "--file", "absent.py", "--function", "predict",
                     "--project", "hanging")  # fmt: skip
        body = {
            "name": "never-ready",
            "description": "",
            "environmentId": version.get("environmentId") or model["environmentId"],
            "environmentVariables": [],
            "isAsync": False,
            "strictNodeAntiAffinity": False,
            "startDeadlineSeconds": 2,
            "replicas": 1,
            "version": {
                "projectId": version["projectId"],
                "source": {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []},
                "logHttpRequestResponse": False,
                "monitoringEnabled": False,
            },
        }
        created = http.post(base, json=body)
        assert created.status_code == 201, created.text
        path = f"{base}/{created.json()['id']}/versions/{created.json()['activeVersion']['id']}"

        def deployment() -> dict[str, object]:
            answer: dict[str, object] = http.get(path).json()["deployment"]
            return answer

        wait_for(lambda: deployment()["status"] == "Stalled", 60, what="the version is stalled")
        assert "2 s" in str(deployment()["reason"])
        assert deployment()["isPending"] is True
        assert http.delete(f"{base}/{created.json()['id']}").status_code == 204
