"""A model that MLflow saved: published without a function, called, and refused with the reason when it cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.e2e.platform import Platform
from tests.e2e.test_publish import endpoint
from tests.mlflow_models import saved
from tests.peers import peer

ROW = {"x": 1.5, "y": 2}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_saved_model_is_published_and_called_without_a_function(platform: Platform, tmp_path: Path) -> None:
    models = saved(peer("mlflow"), tmp_path / "models")
    platform.done("publish", str(models / "table"), "--name", "mlflow-table")
    url, token = endpoint(platform, "mlflow-table")

    def call(body: dict[str, object]) -> httpx.Response:
        return httpx.post(url, json=body, auth=(token, token), timeout=30)

    answer = call({"data": ROW})
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["input"] == [ROW]
    records = call({"data": {"dataframe_records": [ROW, ROW], "params": {"top": 5}}}).json()["result"]
    assert records["input"] == [ROW, ROW]
    assert records["params"]["top"] == 5
    refused = call({"data": {"x": 1.5, "y": "two"}})
    assert refused.status_code == 400
    assert refused.json()["errors"][0] == "data.y must be a whole number, not text"
    log = platform.cli("logs", "mlflow-table", "--kind", "build").out
    assert "the requirements are those of requirements.txt" in log

    broken = shutil.copytree(models / "table", tmp_path / "broken" / "table")
    (broken / "python_model.pkl").unlink()
    ran = platform.cli("publish", str(broken), "--name", "mlflow-table", "--project", "table")
    assert ran.code == 1
    assert "python_model is 'python_model.pkl', which is not in the project" in ran.err + ran.out
    assert call({"data": ROW}).status_code == 200
