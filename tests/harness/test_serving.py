"""One worker's connections: kept, shared out between two threads, and never believed."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from time import monotonic

import pytest

from tests.harness.instances import Running, until
from tests.harness.served import Served, asked

Serve = Callable[..., Served]
JSON = {"Content-Type": "application/json"}
CALL = b'{"data": {"x": 1}}'


def raw(method: str, path: str, body: bytes = b"", *more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: worker", *more]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


def statuses(answers: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


class Gate:
    """A function that waits until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self.calls: list[object] = []

    def __call__(self, x: object = None) -> object:
        self.calls.append(x)
        self.entered.set()
        assert self.open.wait(20)
        return x


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


@pytest.fixture(scope="module")
def echo(serve: Serve) -> Served:
    return serve(lambda x=None: x, request_timeout_s=2.0)


def test_a_connection_is_kept_for_calls_health_and_everything_else(echo: Served) -> None:
    with closing(echo.connection()) as connection:
        replies = [
            asked(connection, method, path, body, JSON)
            for method, path, body in [("POST", "/model", CALL), ("GET", "/health", None), ("GET", "/no", None)] * 2
        ]
    assert [reply.status_code for reply in replies] == [200, 200, 404] * 2
    assert not any(reply.headers["Connection"] for reply in replies)


def test_requests_that_come_in_one_piece_are_answered_in_their_order(echo: Served) -> None:
    pieces = [raw("POST", "/model", json.dumps({"data": {"x": f"<{n}>"}}).encode()) for n in range(30)]
    pieces[10:10] = [raw("GET", "/health"), raw("GET", "/nothing")]
    answers = echo.bytes(b"".join(pieces))
    assert statuses(answers) == [200] * 11 + [404] + [200] * 20
    assert re.findall(rb"<(\d+)>", answers) == [b"%d" % n for n in range(30)]


@pytest.mark.parametrize("at", [1, 5, 20, 40, 62, 70])
def test_a_request_may_come_in_two_halves(echo: Served, at: int) -> None:
    whole = raw("POST", "/model", CALL)
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(echo.path))
        caller.sendall(whole + whole[:at])
        assert statuses(caller.recv(65536)) == [200]
        caller.sendall(whole[at:])
        assert statuses(caller.recv(65536)) == [200]


def test_a_body_in_chunks_is_a_body(echo: Served) -> None:
    pieces = b"5\r\n" + CALL[:5] + b"\r\nd;x=y\r\n" + CALL[5:] + b"\r\n0\r\nlater: no\r\n\r\n"
    call = raw("POST", "/model", b"", "Transfer-Encoding: chunked") + pieces
    answers = echo.bytes(call + raw("GET", "/health"))
    assert statuses(answers) == [200, 200]


def test_a_body_in_chunks_that_grows_too_large_is_a_413(echo: Served) -> None:
    call = raw("POST", "/model", b"", "Transfer-Encoding: chunked") + b"400\r\n" + b" " * 1024 + b"\r\n"
    assert statuses(echo.bytes(call)) == [413]
    assert statuses(echo.bytes(call + b"0\r\n\r\n")) == [413]


def test_a_caller_that_waits_to_be_told_so_is_told_to_go_on(echo: Served) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(echo.path))
        head, _, body = raw("POST", "/model", CALL, "Expect: 100-continue").partition(b"\r\n\r\n")
        caller.sendall(head + b"\r\n\r\n")
        assert caller.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(body)
        assert statuses(caller.recv(65536)) == [200]


@pytest.mark.parametrize(
    "bytes_",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"POST /model HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nContent-Length: +2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /model HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /model HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST /model HTTP/1.1\r\nA: b\r\n Content-Length: 2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nA: b\nContent-Length: 2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nA: \x00\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /model HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"GET /health HTTP/2.0\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
        b"x" * 70_000,
    ],
)
def test_what_is_not_quite_http_is_refused_and_nothing_after_it_is_read(echo: Served, bytes_: bytes) -> None:
    answers = echo.bytes(bytes_ + raw("GET", "/health") * 3)
    assert len(statuses(answers)) == 1
    assert statuses(answers)[0] in {400, 431}
    assert b"Connection: close" in answers
    assert b'{"errors": ["' in answers


def test_half_a_body_that_stays_away_is_a_504_when_the_call_s_time_is_over(echo: Served) -> None:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(20)
        caller.connect(str(echo.path))
        caller.sendall(raw("POST", "/model", CALL, "X-Modelway-Remaining-Ms: 100")[:-3])
        assert statuses(caller.recv(65536)) == [504]
        assert caller.recv(65536) == b""


def test_health_is_answered_on_kept_and_new_connections_while_a_call_runs(serve: Serve, gate: Gate) -> None:
    served = serve(gate)
    with closing(served.connection()) as kept, ThreadPoolExecutor(1) as callers:
        asked(kept, "GET", "/health")
        running = callers.submit(served.request, "POST", "/model", CALL, JSON)
        assert gate.entered.wait(20)
        assert asked(kept, "GET", "/health").status_code == 200
        assert served.request("GET", "/health").status_code == 200
        assert served.request("GET", "/nothing").status_code == 404
        gate.open.set()
        assert running.result().status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_health_of_a_worker_whose_call_is_overdue_is_a_503(serve: Serve, gate: Gate, method: str) -> None:
    served = serve(gate)
    with closing(served.connection()) as kept, ThreadPoolExecutor(1) as callers:
        assert asked(kept, method, "/health").status_code == 200
        late = JSON | {"X-Modelway-Remaining-Ms": "50"}
        running = callers.submit(served.request, "POST", "/model", CALL, late)
        assert running.result().status_code == 504
        assert asked(kept, method, "/health").status_code == 503
        gate.open.set()


def test_a_second_call_on_a_kept_connection_is_refused_unstarted_and_the_connection_is_kept(
    serve: Serve, gate: Gate
) -> None:
    served = serve(gate)
    with closing(served.connection()) as kept, ThreadPoolExecutor(1) as callers:
        asked(kept, "GET", "/health")
        running = callers.submit(served.request, "POST", "/model", CALL, JSON)
        assert gate.entered.wait(20)
        refused = asked(kept, "POST", "/model", b'{"data": {"x": 2}}', JSON)
        gate.open.set()
        assert running.result().status_code == 200
        again = asked(kept, "POST", "/model", b'{"data": {"x": 3}}', JSON)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert again.status_code == 200
    assert gate.calls == [1, 3]


def test_a_second_call_that_may_wait_runs_when_the_first_is_over(serve: Serve, gate: Gate) -> None:
    served = serve(gate)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(served.request, "POST", "/model", CALL, JSON)
        assert gate.entered.wait(20)
        held = callers.submit(served.request, "POST", "/model", b'{"data": {"x": 2}}', JSON | hold(20_000))
        impatient = served.request("POST", "/model", b'{"data": {"x": 3}}', JSON | hold(20))
        short = served.request("POST", "/model", CALL, JSON | hold(20_000) | {"X-Modelway-Remaining-Ms": "20"})
        gate.open.set()
        assert (first.result().status_code, held.result().status_code) == (200, 200)
    assert (impatient.status_code, short.status_code) == (503, 503)
    assert gate.calls == [1, 2]


def hold(milliseconds: int) -> dict[str, str]:
    return {"X-Modelway-Hold-Ms": str(milliseconds)}


def test_what_was_sent_behind_a_running_call_is_answered_after_it(serve: Serve, gate: Gate) -> None:
    served = serve(gate)
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(served.bytes, raw("POST", "/model", CALL), raw("GET", "/health"))
        assert gate.entered.wait(20)
        assert served.request("GET", "/health").status_code == 200
        gate.open.set()
        assert statuses(running.result()) == [200, 200]


def test_a_large_answer_that_nobody_takes_keeps_nobody_waiting(serve: Serve) -> None:
    served = serve(lambda x=0: "x" * x)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.settimeout(20)
        slow.connect(str(served.path))
        slow.sendall(raw("POST", "/model", b'{"data": {"x": 3000000}}') + raw("GET", "/health"))
        assert served.request("POST", "/model", b'{"data": {}}', JSON | hold(20_000)).status_code == 200
        slow.shutdown(socket.SHUT_WR)
        answers = b"".join(iter(lambda: slow.recv(1 << 20), b""))
    assert statuses(answers) == [200, 200]
    assert len(answers) > 3_000_000


def test_a_stop_answers_what_runs_and_what_waits_and_refuses_what_comes(serve: Serve, gate: Gate) -> None:
    served = serve(gate)
    with closing(served.connection()) as kept, ThreadPoolExecutor(2) as callers:
        asked(kept, "GET", "/health")
        running = callers.submit(served.request, "POST", "/model", CALL, JSON)
        assert gate.entered.wait(20)
        held = callers.submit(served.request, "POST", "/model", b'{"data": {"x": 2}}', JSON | hold(20_000))
        until(lambda: len(served.reception.waiting) == 1, "the second call to wait")
        served.serving.stop()
        until(lambda: is_refused(served), "nobody to be let in")
        late = asked(kept, "POST", "/model", CALL, JSON)
        gate.open.set()
        assert (running.result().status_code, held.result().status_code) == (200, 200)
    assert (late.status_code, late.headers["Connection"]) == (503, "close")
    assert gate.calls == [1, 2]


def is_refused(served: Served) -> bool:
    try:
        served.request("GET", "/health")
    except (OSError, http.client.HTTPException):
        return True
    return False


def test_health_is_quick_while_a_call_computes_and_never_gives_way_by_itself(instance: Running) -> None:
    instance.write(
        "from pathlib import Path\ndef predict():\n    Path('entered').touch()\n"
        "    n = 0\n    while n % 1000 or not Path('go').exists():\n        n += 1\n    return 1\n"
    )
    instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(instance.call)
        until(lambda: (instance.project / "entered").exists(), "the call to begin")
        began = monotonic()
        assert all(instance.is_healthy() for _ in range(20))
        took_s = monotonic() - began
        (instance.project / "go").touch()
        assert running.result().status_code == 200
    assert took_s < 10  # a bound against waiting for the call, not a measure of speed


def test_a_process_that_the_function_forks_ends_by_a_signal_and_holds_no_connection(instance: Running) -> None:
    instance.write(
        "import os, signal, time\ndef predict():\n    child = os.fork()\n    if child == 0:\n        time.sleep(600)\n"
        "    os.kill(child, signal.SIGTERM)\n    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
    )
    instance.ready()
    assert instance.call().json()["result"] == -15
    assert instance.call().json()["result"] == -15


def test_a_process_that_the_function_forks_and_leaves_to_us_answers_nobody(instance: Running) -> None:
    instance.write("import os\ndef predict():\n    return 'child' if os.fork() == 0 else 'parent'\n")
    instance.ready()
    assert [instance.call().json()["result"] for _ in range(3)] == ["parent"] * 3


def test_flask_is_imported_by_who_asks_for_something_else_than_calls_and_health(instance: Running) -> None:
    instance.write("import sys\ndef predict():\n    return 'flask' in sys.modules, sys.path\n")
    instance.ready()
    is_there, path = instance.call().json()["result"]
    assert not is_there
    assert instance.get("/nothing").status_code == 404
    assert instance.call().json()["result"] == [True, path]


@pytest.mark.parametrize("name", ["click", "queue"])
def test_a_project_that_has_a_module_of_a_name_that_flask_needs_gets_its_own_and_flask_the_other(
    instance: Running, name: str
) -> None:
    instance.write("mine = 1\n", file=f"{name}.py")
    instance.write(f"import importlib\ndef predict():\n    return importlib.import_module('{name}').__name__\n")
    instance.ready()
    assert instance.call().status_code == 200
    assert instance.get("/nothing").status_code == 404
