"""What the official Python client publishes is built, runs and answers."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.model import FAILED, RUNNING, V1, ok
from tests.e2e.official import walk
from tests.e2e.platform import Platform
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_model_that_the_official_client_published_answers(platform: Platform) -> None:
    with platform.http() as http:
        me = ok(http.get(f"{V1}/whoami"))
        colleague = {
            "userName": "colleague",
            "email": "colleague@example.org",
            "fullName": "",
            "isAdministrator": False,
        }
        ok(http.post(f"{V1}/people", json=colleague))
        key = http.headers["X-Domino-Api-Key"]
        assert walk(platform.url, user_name=me["userName"], key=key, colleague="colleague") == {}
        [model] = ok(http.get(f"/v1/projects/{me['userName']}/churn/models"))["data"]
        at = f"{V1}/modelApis/{model['id']}"

        def runs() -> bool:
            active = ok(http.get(at))["activeVersion"]
            versions = ok(http.get(f"{at}/versions"))
            assert all(each["deployment"]["status"] != FAILED for each in versions), versions
            return (active["number"], active["deployment"]["status"]) == (2, RUNNING)

        wait_for(runs, 120, what="version 2 runs")
        made = ok(http.post(f"{at}/accessTokens", json={"name": "of the test"}))

        def call() -> httpx.Response:
            url = f"{platform.url}/models/{model['id']}/latest/model"
            return httpx.post(url, json={"data": {"x": 2, "y": 5}}, auth=(made["token"], made["token"]))

        wait_for(lambda: call().status_code == 200, 20, what="the token opens")
        answer = ok(call())
        assert (answer["result"], answer["release"]["model_version_number"]) == (10, 2)
        ok(http.delete(at))
