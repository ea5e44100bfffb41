"""The load counts what was answered and what was not, by whom, and goes on whatever becomes of single calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.load.load import calling, lane
from tests.parts import wait_for

TOKEN = "t" * 64


class Model(BaseHTTPRequestHandler):
    """Answers as a version does; /hangs holds its calls until `released`."""

    protocol_version = "HTTP/1.1"
    released = threading.Event()
    connections: set[int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.connections.add(self.client_address[1])
        if self.path == "/cut":
            self.close_connection = True
            return
        if self.path == "/hangs":
            self.released.wait(20)
        is_good = self.path != "/bad" and self.headers["Authorization"] == f"Bearer {TOKEN}"
        status, body = (200, b'{"release": {"model_version_number": 7}}') if is_good else (503, b"no")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: this is no server that anybody watches."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: callers leave when they end."""


@pytest.fixture
def url() -> Iterator[str]:
    Model.connections = set()
    Model.released.clear()
    server = Server(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    Model.released.set()
    server.shutdown()
    thread.join(10)
    server.server_close()


def test_a_part_has_its_own_calls_with_the_version_that_answered(url: str) -> None:
    with calling(lane("good", f"{url}/good", TOKEN, {}, per_second=100)) as load:
        load.settle(0.0)
        with load.during("a while") as part:
            part.until(lambda summary: len(summary.calls) >= 20)
        whole = load.summary()
    assert part.ended.failed == []
    assert set(part.ended.versions()) == {7}
    assert 20 <= len(part.ended.calls) < len(whole.calls)
    assert part.ended.as_document()["failed"] == 0


def test_a_bad_answer_a_cut_connection_and_a_refused_one_are_failed_calls_that_say_why(url: str) -> None:
    lanes = [
        lane("bad", f"{url}/bad", TOKEN, {}, per_second=50),
        lane("cut", f"{url}/cut", TOKEN, {}, per_second=50),
        lane("refused", "http://127.0.0.1:1/", TOKEN, {}, per_second=50),
    ]
    with calling(*lanes) as load:
        load.settle(0.0)
        summary = load.summary()
    assert not [each for each in summary.calls if not each.what]
    assert {each.status for each in summary.of("bad").calls} == {503}
    assert {each.status for each in summary.of("cut", "refused").calls} == {0}
    assert "503 no" in summary.of("bad").as_document()["failures"]  # type: ignore[operator]


def test_the_pace_does_not_wait_for_answers_and_closed_callers_do(url: str) -> None:
    lanes = [
        lane("open", f"{url}/hangs", TOKEN, {}, per_second=100),
        lane("closed", f"{url}/hangs", TOKEN, {}, callers=2),
    ]
    with calling(*lanes) as load:
        wait_for(lambda: len(Model.connections) > 10, what="calls are sent although none is answered")
        assert load.summary().calls == []
        Model.released.set()
        load.settle(0.0)
        calls = load.summary().of("closed").calls
    for one in calls:
        assert sum(each.sent_at < one.sent_at < each.ended_at for each in calls) <= 1


def test_some_connections_are_kept_and_some_are_new(url: str) -> None:
    with calling(lane("kept", f"{url}/good", TOKEN, {}, callers=1, new_every=0)) as load:
        load.settle(0.0)
    assert len(Model.connections) == 1
    with calling(lane("mixed", f"{url}/good", TOKEN, {}, callers=1, new_every=2)) as load:
        wait_for(lambda: len(load.summary().calls) >= 10)
        calls = len(load.summary().calls)
    assert calls // 2 - 1 <= len(Model.connections) - 1


def test_calls_beyond_what_may_wait_at_once_fail_unsent(url: str) -> None:
    with calling(lane("open", f"{url}/hangs", TOKEN, {}, per_second=500)) as load:
        wait_for(lambda: any("too many" in each.what for each in load.summary().calls), what="it is full")
        assert len(Model.connections) <= 200
