"""Clients that hold connections and send next to nothing are cut off, and keep nobody else from being served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from services.router.haproxy.sections import HEAD_S
from tests.e2e.platform import Callers, Platform, write_project
from tests.e2e.test_publish import SUM, endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SLOW = 300  # connections at once
MARGIN_S = 10.0  # of a busy machine


@pytest.fixture(scope="module")
def model(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    project = write_project(tmp_path_factory.mktemp("project") / "patient", SUM)
    platform.done("publish", str(project), "--name", "patient", "--file", "predict.py", "--function", "predict")
    return endpoint(platform, "patient")


@contextmanager
def dribbling(port: int, head: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have sent `head`, and then a byte now and then."""
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 10)) for _ in range(count)]
        for each in clients:
            each.sendall(head)

        def dribble() -> None:
            while not stop.wait(0.5):
                for each in clients:
                    try:
                        each.send(b"x")
                    except OSError:
                        continue

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            yield clients
        finally:
            stop.set()
            thread.join()


def last_word(client: socket.socket, within_s: float) -> bytes:
    """All that the server says before it closes the connection."""
    client.settimeout(within_s)
    said = b""
    try:
        while part := client.recv(65536):
            said += part
    except ConnectionError:
        pass
    return said


def test_heads_that_never_end_are_answered_408_while_others_are_served(
    platform: Platform, model: tuple[str, str]
) -> None:
    port = int(platform.url.rpartition(":")[2])
    with (
        Callers(*model, {"parameters": [1, 2]}).calling(2) as callers,
        dribbling(port, b"GET /version HTTP/1.1\r\nA: ", SLOW) as clients,
    ):
        began = time.monotonic()
        said = [last_word(each, HEAD_S + MARGIN_S) for each in clients]
        assert time.monotonic() - began < HEAD_S + MARGIN_S
    for each in said:
        assert each.startswith(b"HTTP/1.1 408 ")  # in HAProxy's own words: before there is a request it has no others
    assert callers.failures == []
    assert callers.sent > 20


def test_a_body_that_never_ends_takes_no_worker_and_is_answered_in_the_request_timeout(
    platform: Platform, tmp_path: Path
) -> None:
    """HAProxy waits for the body, not the instance: of one worker, another call is answered meanwhile."""
    project = write_project(tmp_path / "short", SUM)
    published = ("publish", str(project), "--name", "short", "--file", "predict.py", "--function", "predict")
    platform.done(*published, "--instances", "1")
    url, token = endpoint(platform, "short")
    port = int(platform.url.rpartition(":")[2])
    path = url.removeprefix(platform.url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    with dribbling(port, head.encode(), 20), Callers(url, token, {"parameters": [1, 2]}).calling(1) as callers:
        time.sleep(5)
    assert callers.failures == []
    assert callers.sent > 5


def test_connections_that_say_nothing_to_the_api_itself_keep_it_from_nobody(platform: Platform) -> None:
    with dribbling(platform.api_port, b"GET /version HTTP/1.1\r\nA: ", SLOW), platform.http() as http:
        for _ in range(20):
            assert http.get("/api/modelServing/v1/modelApis").status_code == 200
