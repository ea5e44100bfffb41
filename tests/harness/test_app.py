"""The HTTP surface of a worker, without a process around it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness import __version__
from modelway_harness.app import create_app
from modelway_harness.calls import Calls
from modelway_harness.config import Instance
from werkzeug.test import TestResponse

INSTANCE = Instance(
    instance_id="i-1",
    version_id="0123456789abcdef01234567",
    version_number=3,
    model_id="m",
    file="predict.py",
    function="predict",
    project_dir=Path("/p"),
    sockets=(Path("/s/w0.sock"),),
    exit_file=Path("/s/exit.json"),
    request_timeout_s=20.0,
    max_body_bytes=1000,
)
RELEASE = {"harness_version": __version__, "model_version": INSTANCE.version_id, "model_version_number": 3}


class RecordingShell:
    """Remembers what the application asked of the process around it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def refuse_newcomers(self) -> None:
        self.asked.append("refuse_newcomers")

    def end_soon(self) -> None:
        self.asked.append("end_soon")

    def end(self) -> None:
        self.asked.append("end")


def add(x: Any, y: Any = 2) -> Any:
    return x + y


def client(function: Callable[..., object] = add, shell: RecordingShell | None = None) -> FlaskClient:
    calls = Calls("predict")
    calls.load(lambda: function).result(20)
    return create_app(INSTANCE, 0, calls, shell or RecordingShell()).test_client()


def post(
    caller: FlaskClient, body: object, *, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return caller.post("/model", data=data, content_type=kind, headers=headers)


def errors(response: TestResponse) -> list[str]:
    body = response.get_json()
    assert body["release"] == RELEASE
    assert body["request_id"] == response.headers["X-Request-Id"]
    found = body["errors"]
    assert isinstance(found, list)
    return found


def test_a_result_comes_with_its_time_and_its_release() -> None:
    response = post(client(), {"data": {"x": 8}}, headers={"X-Request-Id": "IREU167VFABC3K4T"})
    body = response.get_json()
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["X-Request-Id"] == "IREU167VFABC3K4T"
    assert isinstance(body.pop("model_time_in_ms"), int)
    assert isinstance(body.pop("timing"), float)
    assert body == {"request_id": "IREU167VFABC3K4T", "release": RELEASE, "result": 10}


@pytest.mark.parametrize("given_id", [None, "short", "ireu167vfabc3k4t", "IREU167VFABC3K4T\t"])
def test_a_request_without_a_proper_id_gets_one(given_id: str | None) -> None:
    headers = {"X-Request-Id": given_id} if given_id else None
    body = post(client(), {"data": {"x": 8}}, headers=headers).get_json()
    assert re.fullmatch(r"[A-Z0-9]{16}", body["request_id"])
    assert body["request_id"] != given_id


def test_health_names_the_worker() -> None:
    response = client().get("/health", headers={"X-Modelway-Server": "i-1.0"})
    assert (response.status_code, response.get_json()) == (
        200,
        {"status": "ok", "instance_id": "i-1", "worker": 0},
    )


def test_the_function_is_described() -> None:
    document = client().get("/openapi.json").get_json()
    assert document["info"]["title"] == "predict"
    assert document["info"]["version"] == "3"
    assert set(document["paths"]) == {"/model", "/health"}


@pytest.mark.parametrize("path", ["/", "/nothing", "/model/", "//model", "/openapi"])
def test_an_unknown_path_is_a_404(path: str) -> None:
    response = client().get(path)
    assert response.status_code == 404
    assert errors(response)[0].startswith("there is nothing at /")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/model", "POST"), ("OPTIONS", "/model", "POST"), ("POST", "/health", "GET, HEAD")],
)
def test_another_method_is_a_405(method: str, path: str, allowed: str) -> None:
    response = client().open(path, method=method)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    assert errors(response) == [f"{method} is not answered at {path}"]


@pytest.mark.parametrize("path", ["/model", "/health"])
@pytest.mark.parametrize("name", ["i-2.0", "i-1.1", "i-1"])
def test_a_request_meant_for_another_server_is_a_421(path: str, name: str) -> None:
    caller, headers = client(), {"X-Modelway-Server": name}
    response = caller.get(path, headers=headers) if path == "/health" else post(caller, b"{", headers=headers)
    assert response.status_code == 421
    assert errors(response) == [f"this is i-1.0, not {name}"]


def test_a_body_that_says_it_is_too_large_is_a_413() -> None:
    response = post(client(), b"x" * 1001)
    assert response.status_code == 413
    assert errors(response) == ["the body has 1001 bytes; at most 1000 are taken"]


@pytest.mark.parametrize("kind", ["text/csv", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_says_it_is_not_json_is_a_415(kind: str) -> None:
    response = post(client(), {"data": {"x": 1}}, kind=kind)
    assert response.status_code == 415
    assert errors(response) == [f'the body must be JSON: send "Content-Type: application/json", not "{kind}"']


@pytest.mark.parametrize("kind", ["", "application/json; charset=utf-8", "application/vnd.rows+json"])
def test_json_by_any_name_is_taken(kind: str) -> None:
    assert post(client(), {"data": {"x": 1}}, kind=kind).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"\xff\xff", "the body is not JSON"),
        (b'{"data": {"x": NaN}}', "the body is not JSON: it holds NaN"),
        (b'{"data": {}}', "predict() missing 1 required argument: 'x'"),
    ],
)
def test_a_body_that_cannot_be_a_call_is_a_400(body: bytes, message: str) -> None:
    response = post(client(), body)
    assert response.status_code == 400
    assert errors(response)[0].startswith(message)


def test_a_body_that_is_nested_too_deeply_is_a_400() -> None:
    assert post(client(), b"[" * 999).status_code == 400


@given(st.binary(max_size=200) | st.text().map(str.encode) | st.builds(lambda n: b"[" * n, st.integers(0, 999)))
def test_no_body_at_all_is_answered_with_anything_but_json(body: bytes) -> None:
    response = post(CALLER, body)
    assert response.status_code == 400
    assert len(errors(response)) == 1


CALLER = client()


def test_an_exception_of_the_function_is_told_without_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    response = post(client(lambda x: {}[x]), {"data": {"x": "setosa"}}, headers={"X-Request-Id": "A" * 16})
    assert response.status_code == 500
    assert errors(response) == ["KeyError: 'setosa'"]
    assert b"Traceback" not in response.data


def test_a_second_call_is_refused_at_once_and_health_stays_true() -> None:
    entered, leave = threading.Event(), threading.Event()

    def predict() -> int:
        entered.set()
        assert leave.wait(20)
        return 1

    caller = client(predict)
    first: list[TestResponse] = []
    running = threading.Thread(target=lambda: first.append(post(caller, {"data": {}})))
    running.start()
    assert entered.wait(20)
    second = post(caller, {"data": {}})
    health = caller.get("/health")
    leave.set()
    running.join(20)
    assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
    assert errors(second) == ["this worker is busy"]
    assert health.status_code == 200
    assert first[0].status_code == 200


def test_a_call_past_the_time_left_is_a_504_and_ends_the_process_after_the_answer() -> None:
    leave, shell = threading.Event(), RecordingShell()
    caller = client(lambda: leave.wait(20), shell)
    response = post(caller, {"data": {}}, headers={"X-Modelway-Remaining-Ms": "20"})
    health = caller.get("/health")
    asked_before = list(shell.asked)
    response.close()
    leave.set()
    assert response.status_code == 504
    assert errors(response) == ["the call took longer than 20 s, the request timeout"]
    assert (health.status_code, health.get_json()) == (503, {"status": "wedged"})
    assert asked_before[:2] == ["refuse_newcomers", "end_soon"]
    assert shell.asked[-1] == "end"


def test_the_time_spent_in_the_routers_queue_counts_too() -> None:
    passed = str(int(time.time() * 1000) - 1)
    headers = {"X-Modelway-Remaining-Ms": "20000", "X-Modelway-Deadline-Ms": passed}
    assert post(client(lambda: 1), {"data": {}}, headers=headers).status_code == 504


@pytest.mark.parametrize("left", ["0", "-5"])
def test_a_call_without_time_left_is_not_started(left: str) -> None:
    started: list[int] = []
    response = post(client(lambda: started.append(1)), {"data": {}}, headers={"X-Modelway-Remaining-Ms": left})
    assert response.status_code == 504
    assert errors(response) == ["no time was left to start the call, the request timeout being 20 s"]
    assert started == []


@pytest.mark.parametrize("left", ["", "soon", "1.5", "9" * 40])
def test_a_time_left_that_is_no_number_means_the_whole_request_timeout(left: str) -> None:
    response = post(client(), {"data": {"x": 1}}, headers={"X-Modelway-Remaining-Ms": left})
    assert response.status_code == 200


def test_a_mistake_of_the_harness_is_a_500_in_the_same_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise LookupError("unforeseen")

    monkeypatch.setattr(Calls, "run", fail)
    response = post(client(), {"data": {"x": 1}})
    assert response.status_code == 500
    assert errors(response) == ["the harness failed; the instance's log says why"]
