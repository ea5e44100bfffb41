"""A model written in R: published, called and replaced through the same API as any other."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.e2e.platform import Platform, write_project
from tests.e2e.test_publish import endpoint
from tests.harness.r_instances import need_r
from tests.parts import wait_for
from tests.services.builder.r_packages import make_repository

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


def test_a_script_in_r_by_any_name_has_the_packages_that_it_asks_for(platform: Platform, tmp_path: Path) -> None:
    need_r()
    shutil.copytree(make_repository(tmp_path).repository, platform.r_repository)
    project = write_project(tmp_path / "twice", "predict <- function(x) beta::twice(x)\n", "score.rscript")
    (tmp_path / "packages.txt").write_text("beta >= 2.0\n")
    said = ("--name", "twice-r", "--file", "score.rscript", "--function", "predict", "--language", "r")
    platform.done("publish", str(project), *said, "--requirements", str(tmp_path / "packages.txt"))
    url, token = endpoint(platform, "twice-r")
    answer = httpx.post(url, json={"data": {"x": 21}}, auth=(token, token), timeout=30)
    assert answer.json()["result"] == 42, answer.text
    assert platform.done("show", "twice-r")["active_version"]["language"] == "r"
    write_project(project, "predict <- function(x) beta::twice(x) + 1\n", "score.rscript")
    platform.done("publish", str(project), *said)
    log = platform.cli("logs", "twice-r", "--kind", "build").out
    assert "is reused" in log
    assert "installing" not in log
    answer = httpx.post(url, json={"data": {"x": 21}}, auth=(token, token), timeout=30)
    assert answer.json()["result"] == 43, answer.text
