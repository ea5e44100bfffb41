"""The load generator tells how long calls took, and does not hide those that failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.exchange import request_bytes
from benchmarks.load import Lane, flood, pairs


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        status, body = (200, b"{}") if self.path == "/good" else (503, b"no")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: this is no server that anybody watches."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(10)
    server.server_close()


def lane(address: str, path: str, *, is_kept: bool = True) -> Lane:
    return Lane(name=path + str(is_kept), address=address, request=request_bytes("GET", path, {}), is_kept=is_kept)


def test_calls_in_turn_have_as_many_latencies_on_each_lane(address: str) -> None:
    outcomes = pairs([lane(address, "/good"), lane(address, "/good", is_kept=False)], rounds=20, warm_up=2)
    assert [len(outcome.latencies_ms) for outcome in outcomes.values()] == [20, 20]


def test_a_flood_ends_after_its_time(address: str) -> None:
    outcome = flood(lane(address, "/good"), connections=2, seconds=0.2)
    assert outcome.latencies_ms
    assert outcome.took_s < 5


def test_a_call_that_fails_fails_the_benchmark(address: str) -> None:
    with pytest.raises(RuntimeError, match="503"):
        pairs([lane(address, "/bad")], rounds=2, warm_up=0)
