"""The Open Inference Protocol, and a model's document, through a real HAProxy to real instances."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from services.core.routing import RoutingTable, Server
from services.router.haproxy.dataplane import HAProxy
from tests.harness.instances import INSTANCE, Running
from tests.peers import peer
from tests.services.router.parts import (
    MODEL,
    TOKEN,
    VERSION,
    HAProxyProcess,
    Place,
    StandIn,
    basic,
    errors,
    open_table,
    token_hash,
)

BEARER = {"Authorization": f"Bearer {TOKEN}"}
LATEST, PROD = f"/models/{MODEL}/latest", f"/models/{MODEL}/labels/prod"
SCRIPT = '''
import numpy as np

def predict(x: np.ndarray, by: float = 2.0) -> np.ndarray:
    """Scale an array."""
    return {"same": x, "scaled": x * by} if x.dtype.kind in "iuf" else {"same": x}
'''
FOREIGN = """
import sys

import numpy as np
import tritonclient.http as triton

place, name, token = sys.argv[1:]
headers = {"Authorization": "Bearer " + token}
client = triton.InferenceServerClient(place)
assert client.is_server_live(headers=headers)
assert client.is_server_ready(headers=headers)
assert client.is_model_ready(name, headers=headers)
assert client.is_model_ready(name, "3", headers=headers)
assert client.get_server_metadata(headers=headers)["extensions"] == ["binary_tensor_data"]
assert [each["name"] for each in client.get_model_metadata(name, headers=headers)["inputs"]] == ["x", "by"]

DATATYPES = {"BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H",
             "UINT32": "I", "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d", "BYTES": "O"}


def infer(datatype, sent, is_binary, outputs=None, **more):
    given = triton.InferInput("x", list(sent.shape), datatype)
    given.set_data_from_numpy(sent, binary_data=is_binary)
    # Of its own: the client leaves the length of one request's JSON in it for the next.
    return client.infer(name, [given], outputs=outputs, headers=dict(headers), **more)


for datatype, code in DATATYPES.items():
    sent = np.array([[1, 0, 1], [0, 1, 1]], code) if code != "O" else np.array([["a", "\\u00e9", ""]], np.object_)
    for is_binary in (True, False):
        if datatype == "FP16" and not is_binary:
            continue  # the client itself has no FP16 in JSON
        result = infer(datatype, sent, is_binary, request_id="7")
        got = result.as_numpy("same")
        texts = [each.decode() if isinstance(each, bytes) else each for each in got.ravel()]
        assert texts == sent.ravel().tolist(), (datatype, is_binary, got)
        assert got.shape == sent.shape
        assert result.get_output("same")["datatype"] == datatype
        assert result.get_response()["id"] == "7"

x = np.array([1, 2], "f")
wanted = [triton.InferRequestedOutput("scaled", binary_data=False)]
result = infer("FP32", x, True, wanted, parameters={"by": 3.0}, request_compression_algorithm="gzip")
assert result.as_numpy("scaled").tolist() == [3, 6]
assert result.as_numpy("same") is None
large = np.random.default_rng(1).random((300, 400))
assert (infer("FP64", large, True).as_numpy("same") == large).all()


def refused(call):
    try:
        call()
    except triton.InferenceServerException as error:
        return error.status(), error.message()
    raise AssertionError("it was taken")


print(refused(lambda: infer("FP32", x, True, [triton.InferRequestedOutput("nothing")])))
print(refused(lambda: client.get_model_metadata("nobody", headers=headers)))
print(refused(lambda: infer("FP32", x, True, model_version="2")))
headers = {}
print(refused(lambda: infer("FP32", x, True))[0], client.is_server_live())
"""


@pytest.fixture(scope="module")
def instance() -> Iterator[Running]:
    """A real worker, in this environment, which has NumPy."""
    pytest.importorskip("numpy")
    folder = Path(tempfile.mkdtemp(prefix="mw-", dir="/tmp"))
    running = Running(folder)
    running.write(SCRIPT)
    try:
        running.ready(example_input='{"data": {"x": [1, 2]}}')
        yield running
    finally:
        running.clean()
        shutil.rmtree(folder)


def restricted(*servers: Server) -> RoutingTable:
    return replace(
        open_table(*servers),
        routes={f"{MODEL}/latest": VERSION, f"{MODEL}/prod": VERSION},
        open_models=frozenset(),
        tokens=frozenset({f"{MODEL}/{token_hash(TOKEN)}"}),
    )


@pytest.fixture
async def at_work(data_plane: HAProxy, instance: Running) -> None:
    server = Server(name=f"{INSTANCE}.0", address=str(instance.sockets[0]), is_open=True)
    await data_plane.converge(restricted(server))


@pytest.mark.parametrize("path", [LATEST, PROD])
async def test_a_foreign_client_that_nobody_changed_works_with_json_and_with_binary_data(
    at_work: None, place: Place, path: str
) -> None:
    told = [f"127.0.0.1:{place.port}{path}", "predict", TOKEN]
    done = await asyncio.to_thread(_ran, [str(peer("tritonclient")), "-c", FOREIGN, *told])
    assert done.returncode == 0, done.stdout + done.stderr
    unknown, nobody, version, no_token = done.stdout.splitlines()
    assert unknown == str(("400", "there is no output 'nothing'; there is 'same' and 'scaled'"))
    assert nobody == str(("404", "there is no model 'nobody' here; this is 'predict'"))
    assert version == str(("404", "there is no version '2' of 'predict' here; this is version '3'"))
    assert no_token == "401 False"


def _ran(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def inference(client: httpx.AsyncClient, path: str, **more: Any) -> Any:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    return client.post(f"{path}/v2/models/predict/infer", json={"inputs": [tensor]}, **more)


@pytest.mark.parametrize("headers", [BEARER, basic(TOKEN, TOKEN)])
async def test_a_call_with_tensors_needs_the_token_that_any_call_needs(
    at_work: None, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await inference(client, LATEST, headers=headers)).status_code == 200
    for shown in ({}, basic("x", "x")):
        refused = await inference(client, LATEST, headers=shown)
        assert refused.status_code == 401
        assert errors(refused) == ["A valid access token of this model is required."]


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/predict", "/openapi.json"])
async def test_what_is_told_of_a_model_needs_its_token_too(at_work: None, client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(LATEST + path, headers=BEARER)).status_code == 200
    assert (await client.get(LATEST + path)).status_code == 401
    assert (await client.get(f"/models/{MODEL}/labels/none{path}", headers=BEARER)).status_code == 404


@pytest.mark.parametrize("path", ["/v2x", "/v3/health/live", "/health", "/v2x/models"])
async def test_nothing_else_of_an_instance_is_reachable(at_work: None, client: httpx.AsyncClient, path: str) -> None:
    refused = await client.get(LATEST + path, headers=BEARER)
    assert (refused.status_code, errors(refused)[0][:34]) == (404, "There is nothing at this address; ")


@pytest.mark.parametrize("path", [LATEST, PROD])
async def test_the_document_of_a_model_names_its_own_place_and_how_to_be_let_in(
    at_work: None, place: Place, client: httpx.AsyncClient, path: str
) -> None:
    document = (await client.get(f"{path}/openapi.json", headers=BEARER)).json()
    (server,) = document["servers"]
    url = httpx.URL(f"{place.url}{path}/openapi.json").join(server["url"])
    kinds = {each["scheme"] for each in document["components"]["securitySchemes"].values()}
    assert kinds == {"basic", "bearer"}
    body = document["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert body == {"data": {"x": [1, 2]}}
    for way in document["paths"]["/model"]["post"].get("security", document["security"]):
        (name,) = way
        scheme = document["components"]["securitySchemes"][name]["scheme"]
        headers = {"bearer": BEARER, "basic": basic(TOKEN, TOKEN)}[scheme]
        answer = await client.post(f"{url}/model", json=body, headers=headers)
        assert answer.json()["result"] == {"same": [1, 2], "scaled": [2.0, 4.0]}
    assert {"/v2/models/predict/infer", "/v2/models/predict", "/v2/health/ready"} <= set(document["paths"])


async def test_health_is_told_without_a_worker_also_while_none_is_free(
    data_plane: HAProxy, haproxy: HAProxyProcess, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(restricted(*stand_in.servers))
    for kind in ("live", "ready"):
        answer = await client.get(f"{LATEST}/v2/health/{kind}", headers=BEARER)
        assert (answer.status_code, answer.json()) == (200, {kind: True})
    assert (await client.get(f"{LATEST}/v2/models/m", headers=BEARER)).json()["calls"] == 1


async def test_a_model_without_an_instance_lives_and_is_not_ready(
    data_plane: HAProxy, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(restricted())
    assert (await client.get(f"{LATEST}/v2/health/live", headers=BEARER)).status_code == 200
    assert (await client.get(f"{LATEST}/v2/health/ready", headers=BEARER)).status_code == 503


async def test_names_and_lengths_reach_the_instance_as_they_were_sent(
    data_plane: HAProxy, stand_in: StandIn, client: httpx.AsyncClient
) -> None:
    await data_plane.converge(restricted(*stand_in.servers))
    body = json.dumps({"inputs": []}).encode()
    seen = await client.post(
        f"{LATEST}/v2/models/pr%C3%A9dire/versions/3/infer?a=b",
        content=body,
        headers={**BEARER, "Inference-Header-Content-Length": str(len(body))},
    )
    assert seen.json()["request"] == "POST /v2/models/pr%C3%A9dire/versions/3/infer?a=b HTTP/1.1"
    assert seen.json()["headers"]["inference-header-content-length"] == str(len(body))
    assert "authorization" not in seen.json()["headers"]
