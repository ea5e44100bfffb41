"""A model written in R: published, called and replaced through the same API as any other."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.platform import Platform
from tests.e2e.test_publish import endpoint
from tests.harness.r_instances import need_r
from tests.parts import wait_for

EXAMPLE = Path(__file__).parents[2] / "examples" / "iris-r"
FLOWER = {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_r_example_is_published_called_and_restarted(platform: Platform) -> None:
    need_r()
    platform.done("publish", str(EXAMPLE), "--name", "iris-r", "--file", "model.R", "--function", "predict")
    url, token = endpoint(platform, "iris-r")
    answer = httpx.post(url, json={"data": FLOWER}, auth=(token, token), timeout=30)
    body = answer.json()
    assert answer.status_code == 200, answer.text
    assert body["result"]["species"] == "virginica"
    assert set(body["result"]["probabilities"]) == {"setosa", "versicolor", "virginica"}
    assert body["release"]["model_version_number"] == 1
    assert body["request_id"] == answer.headers["X-Request-Id"]
    short = httpx.post(url, json={"data": {"sepal_length": 1}}, auth=(token, token), timeout=30)
    assert short.status_code == 400
    assert short.json()["errors"][0].startswith("predict() missing 3 required arguments: 'sepal_width'")
    log = ("logs", "iris-r", "--kind", "instance")
    wait_for(lambda: "Fitted on 150 flowers" in platform.cli(*log).out, 15, what="the line")
    platform.done("stop", "iris-r")
    platform.done("start", "iris-r")
    again = httpx.post(url, json={"parameters": list(FLOWER.values())}, auth=(token, token), timeout=30)
    assert again.json()["result"] == body["result"]
