"""What a model tells of itself and how clients of the Open Inference Protocol call it, on a whole platform."""

from __future__ import annotations

import json
import subprocess

import httpx
import pytest

from tests.e2e.platform import Platform, write_project
from tests.e2e.test_publish import endpoint
from tests.parts import wait_for
from tests.peers import peer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLE = '{"data": {"x": [1, 2, 3], "by": 2}}'
SCRIPT = '''
def predict(x: list[float], by: float = 1) -> list[float]:
    """Scale numbers.

    Args:
        x: The numbers.
    """
    return [each * by for each in x]
'''
FOREIGN = """
import sys

import numpy as np
import tritonclient.http as triton

place, token = sys.argv[1:]
client = triton.InferenceServerClient(place)
for is_binary in (True, False):
    given = triton.InferInput("x", [2], "FP64")
    given.set_data_from_numpy(np.array([1.5, 2]), binary_data=is_binary)
    wanted = [triton.InferRequestedOutput("output", binary_data=is_binary)]
    by = triton.InferInput("by", [1], "INT64")
    by.set_data_from_numpy(np.array([2]), binary_data=is_binary)
    headers = {"Authorization": "Bearer " + token}
    result = client.infer("predict", [given, by], outputs=wanted, headers=headers)
    print(result.as_numpy("output").tolist(), result.get_response()["model_version"])
print(client.is_model_ready("predict", headers=headers), client.is_server_ready(headers=headers))
"""


@pytest.fixture(scope="module")
def scaled(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model API whose first version is in production, and whose second is the latest."""
    project = write_project(tmp_path_factory.mktemp("project") / "scaled", SCRIPT)
    (project / "example.json").write_text(EXAMPLE)
    said = ("--name", "scaled", "--file", "predict.py", "--function", "predict")
    platform.done("publish", str(project), *said, "--example", f"@{project / 'example.json'}", "--routing", "advanced")
    platform.done("promote", "scaled", "--version", "1")
    platform.done("publish", str(project), *said)
    return "scaled"


def place(platform: Platform, name: str, label: str) -> tuple[str, str]:
    """Where a label is, and the model's token."""
    url, token = endpoint(platform, name)
    model = url.split("/models/")[1][:24]
    return f"/models/{model}/{label}", token


@pytest.mark.parametrize(("label", "version"), [("latest", "2"), ("labels/prod", "1")])
def test_a_foreign_client_calls_a_label_with_tensors(platform: Platform, scaled: str, label: str, version: str) -> None:
    at, token = place(platform, scaled, label)
    for url in platform.urls:
        wait_for(lambda url=url: _version(url + at, token) == version, 30, what="the label leads there")  # type: ignore[misc]
        told = [str(peer("tritonclient")), "-c", FOREIGN, url.removeprefix("http://") + at, token]
        done = subprocess.run(told, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines() == [f"[3.0, 4.0] {version}"] * 2 + ["True True"], done.stderr


def _version(url: str, token: str) -> str:
    answer = httpx.get(f"{url}/openapi.json", auth=(token, token))
    return str(answer.json()["info"]["version"]) if answer.status_code == 200 else answer.text


@pytest.mark.parametrize("label", ["latest", "labels/prod"])
def test_the_document_of_a_label_says_where_it_is_and_its_example_works_there(
    platform: Platform, scaled: str, label: str
) -> None:
    at, token = place(platform, scaled, label)
    assert httpx.get(f"{platform.url}{at}/openapi.json").status_code == 401
    document = httpx.get(f"{platform.url}{at}/openapi.json", auth=(token, token)).json()
    assert document["servers"] == [{"url": at}]
    media = document["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]
    if label != "latest":  # the one that was published with an example
        answer = httpx.post(f"{platform.url}{at}/model", json=media["example"], auth=(token, token))
        assert answer.json()["result"] == [2.0, 4.0, 6.0]


def test_a_collaborator_reads_the_document_without_a_token(platform: Platform, scaled: str) -> None:
    told = platform.cli("describe", scaled, "--label", "prod")
    assert told.code == 0, told.err
    assert told.out.startswith("predict(), version 1 of scaled\n\nScale numbers.\n")
    assert "x          list of number           The numbers." in told.out
    assert f"modelway invoke scaled '{json.dumps(json.loads(EXAMPLE))}' --label prod" in told.out
    document = platform.done("describe", scaled)
    assert (document["info"]["version"], document["servers"][0]["url"][-7:]) == ("2", "/latest")
    _, token = place(platform, scaled, "latest")
    assert token not in json.dumps(document)


def test_calls_with_tensors_are_recorded_as_any_call_and_looks_are_not(platform: Platform, scaled: str) -> None:
    at, token = place(platform, scaled, "latest")
    body = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}
    looked = httpx.get(f"{platform.url}{at}/v2/models/predict", auth=(token, token))
    called = httpx.post(f"{platform.url}{at}/v2/models/predict/infer", json=body, auth=(token, token))
    assert (called.status_code, looked.status_code) == (200, 200)

    def is_recorded(answer: httpx.Response) -> bool:
        return platform.cli("audit", "call", answer.headers["X-Request-Id"], scaled).code == 0

    wait_for(lambda: is_recorded(called), 15, what="the record is there")
    assert not is_recorded(looked)
