"""The HTTP surface of a worker, without a process around it."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from modelway_harness import __version__
from modelway_harness.calls import Calls

from tests.harness.instances import until
from tests.harness.served import INSTANCE, Reply, Served

Serve = Callable[..., Served]
RELEASE = {"harness_version": __version__, "model_version": INSTANCE.version_id, "model_version_number": 3}


def add(x: Any, y: Any = 2) -> Any:
    return x + y


@pytest.fixture(scope="module")
def caller(serve: Serve) -> Served:
    return serve(add)


def post(
    caller: Served, body: object, *, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return caller.request("POST", "/model", data, {"Content-Type": kind, **(headers or {})})


def errors(response: Reply) -> list[str]:
    body = response.json()
    assert body["release"] == RELEASE
    assert body["request_id"] == response.headers["X-Request-Id"]
    found = body["errors"]
    assert isinstance(found, list)
    return found


def test_a_result_comes_with_its_time_and_its_release(caller: Served) -> None:
    response = post(caller, {"data": {"x": 8}}, headers={"X-Request-Id": "IREU167VFABC3K4T"})
    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"] == "IREU167VFABC3K4T"
    assert isinstance(body.pop("model_time_in_ms"), int)
    assert isinstance(body.pop("timing"), float)
    assert body == {"request_id": "IREU167VFABC3K4T", "release": RELEASE, "result": 10}


@pytest.mark.parametrize("given_id", [None, "short", "ireu167vfabc3k4t", "IREU167VFABC3K4T\t"])
def test_a_request_without_a_proper_id_gets_one(caller: Served, given_id: str | None) -> None:
    headers = {"X-Request-Id": given_id} if given_id else None
    body = post(caller, {"data": {"x": 8}}, headers=headers).json()
    assert re.fullmatch(r"[A-Z0-9]{16}", body["request_id"])
    assert body["request_id"] != given_id


def test_health_names_the_worker(caller: Served) -> None:
    response = caller.request("GET", "/health", headers={"X-Modelway-Server": "i-1.0"})
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "instance_id": "i-1", "worker": 0},
    )


@pytest.mark.parametrize("path", ["/", "/nothing", "/model/", "/openapi"])
def test_an_unknown_path_is_a_404(caller: Served, path: str) -> None:
    response = caller.request("GET", path)
    assert response.status_code == 404
    assert errors(response)[0].startswith("there is nothing at /")


@pytest.mark.parametrize("line", [b"POST //model", b"GET //model", b"GET //health", b"POST http://w//model"])
def test_two_slashes_are_not_one(caller: Served, line: bytes) -> None:
    assert caller.bytes(line + b" HTTP/1.1\r\nHost: w\r\n\r\n").startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", "/model", "POST"), ("OPTIONS", "/model", "POST"), ("POST", "/health", "GET, HEAD")],
)
def test_another_method_is_a_405(caller: Served, method: str, path: str, allowed: str) -> None:
    response = caller.request(method, path)
    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    assert errors(response) == [f"{method} is not answered at {path}"]


@pytest.mark.parametrize("path", ["/model", "/health"])
@pytest.mark.parametrize("name", ["i-2.0", "i-1.1", "i-1"])
def test_a_request_meant_for_another_server_is_a_421(caller: Served, path: str, name: str) -> None:
    headers = {"X-Modelway-Server": name}
    is_health = path == "/health"
    response = caller.request("GET", path, headers=headers) if is_health else post(caller, b"{", headers=headers)
    assert response.status_code == 421
    assert errors(response) == [f"this is i-1.0, not {name}"]


def test_a_body_that_says_it_is_too_large_is_a_413(caller: Served) -> None:
    response = post(caller, b"x" * 1001)
    assert response.status_code == 413
    assert errors(response) == ["the body has 1001 bytes; at most 1000 are taken"]


@pytest.mark.parametrize("kind", ["text/csv", "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_that_says_it_is_not_json_is_a_415(caller: Served, kind: str) -> None:
    response = post(caller, {"data": {"x": 1}}, kind=kind)
    assert response.status_code == 415
    assert errors(response) == [f'the body must be JSON: send "Content-Type: application/json", not "{kind}"']


@pytest.mark.parametrize("kind", ["", "application/json; charset=utf-8", "application/vnd.rows+json"])
def test_json_by_any_name_is_taken(caller: Served, kind: str) -> None:
    assert post(caller, {"data": {"x": 1}}, kind=kind).status_code == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b"{", "the body is not JSON"),
        (b"\xff\xff", "the body is no text in UTF-8"),
        (b'{"data": {"x": NaN}}', "the body is not JSON: it holds NaN"),
        (b'{"data": {}}', "predict() missing 1 required argument: 'x'"),
    ],
)
def test_a_body_that_cannot_be_a_call_is_a_400(caller: Served, body: bytes, message: str) -> None:
    response = post(caller, body)
    assert response.status_code == 400
    assert errors(response)[0].startswith(message)


def test_a_body_that_is_nested_too_deeply_is_a_400(caller: Served) -> None:
    assert post(caller, b"[" * 999).status_code == 400


@given(st.binary(max_size=200) | st.text().map(str.encode) | st.builds(lambda n: b"[" * n, st.integers(0, 999)))
def test_no_body_at_all_is_answered_with_anything_but_json(caller: Served, body: bytes) -> None:
    assume(b'"data"' not in body)  # Hypothesis also tries texts that it finds in our own files
    response = post(caller, body)
    assert response.status_code == 400
    assert len(errors(response)) == 1


def test_an_exception_of_the_function_is_told_without_its_traceback(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    response = post(serve(lambda x: {}[x]), {"data": {"x": "setosa"}}, headers={"X-Request-Id": "A" * 16})
    assert response.status_code == 500
    assert errors(response) == ["KeyError: 'setosa'"]
    assert b"Traceback" not in response.data


def test_a_second_call_is_refused_at_once_and_health_stays_true(serve: Serve) -> None:
    entered, leave = threading.Event(), threading.Event()

    def predict() -> int:
        entered.set()
        assert leave.wait(20)
        return 1

    caller = serve(predict)
    first: list[Reply] = []
    running = threading.Thread(target=lambda: first.append(post(caller, {"data": {}})))
    running.start()
    assert entered.wait(20)
    second = post(caller, {"data": {}})
    health = caller.request("GET", "/health")
    leave.set()
    running.join(20)
    assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
    assert errors(second) == ["this worker is busy"]
    assert health.status_code == 200
    assert first[0].status_code == 200


def test_a_call_past_the_time_left_is_a_504_and_ends_the_process_after_the_answer(serve: Serve) -> None:
    leave = threading.Event()
    caller = serve(lambda: leave.wait(20))
    response = post(caller, {"data": {}}, headers={"X-Modelway-Remaining-Ms": "20"})
    until(lambda: "end" in caller.asked, "the process to be ended")
    leave.set()
    assert response.status_code == 504
    assert response.headers["Connection"] == "close"
    assert errors(response) == ["the call took longer than 20 s, the request timeout"]


def test_the_time_spent_in_the_routers_queue_counts_too(serve: Serve) -> None:
    passed = str(int(time.time() * 1000) - 1)
    headers = {"X-Modelway-Remaining-Ms": "20000", "X-Modelway-Deadline-Ms": passed}
    assert post(serve(lambda: 1), {"data": {}}, headers=headers).status_code == 504


@pytest.mark.parametrize("left", ["0", "-5"])
def test_a_call_without_time_left_is_not_started(serve: Serve, left: str) -> None:
    started: list[int] = []
    response = post(serve(lambda: started.append(1)), {"data": {}}, headers={"X-Modelway-Remaining-Ms": left})
    assert response.status_code == 504
    assert errors(response) == ["no time was left to start the call, the request timeout being 20 s"]
    assert started == []


@pytest.mark.parametrize("left", ["", "soon", "1.5", "9" * 40])
def test_a_time_left_that_is_no_number_means_the_whole_request_timeout(caller: Served, left: str) -> None:
    response = post(caller, {"data": {"x": 1}}, headers={"X-Modelway-Remaining-Ms": left})
    assert response.status_code == 200


def test_a_mistake_of_the_harness_is_a_500_in_the_same_shape(caller: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise LookupError("unforeseen")

    monkeypatch.setattr(Calls, "call", fail)
    response = post(caller, {"data": {"x": 1}})
    assert response.status_code == 500
    assert errors(response) == ["the harness failed; the instance's log says why"]
