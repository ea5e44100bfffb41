"""What a caller is told on a connection that it keeps, when the worker behind it is no more."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from modelway_harness.ledger import PLACES
from modelway_harness.lobby import CONNECTIONS

from tests.harness.instances import WITHIN_S, Running, until

SCRIPT = """
import os, time
from pathlib import Path
def predict(wait=None, size=0):
    with open("begun", "a") as begun:
        begun.write("!")
    while wait and not Path(wait).exists():
        time.sleep(0.005)
    return " " * size
"""
ID = "ABCDEFGH12345678"


class Caller:
    """One kept connection, byte by byte."""

    def __init__(self, instance: Running) -> None:
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.connect(str(instance.sockets[0]))  # waits where there is no room: with a timeout it would not
        self.stream.settimeout(WITHIN_S)

    def ask(self, **data: object) -> None:
        body = json.dumps({"data": data}).encode()
        head = f"POST /model HTTP/1.1\r\nHost: w\r\nX-Request-Id: {ID}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.stream.sendall(head.encode() + body)

    def hear(self) -> tuple[http.client.HTTPResponse, bytes]:
        response = http.client.HTTPResponse(self.stream)
        response.begin()
        return response, response.read()

    def call(self, **data: object) -> tuple[http.client.HTTPResponse, bytes]:
        self.ask(**data)
        return self.hear()

    def has_ended(self) -> bool:
        return self.stream.recv(1) == b""


@contextmanager
def caller(instance: Running, *, has_called: bool = True) -> Iterator[Caller]:
    one = Caller(instance)
    with one.stream:
        if has_called:
            assert one.call()[0].status == 200
        yield one


def kill(instance: Running) -> None:
    (worker,) = instance.worker_ids()
    os.kill(worker, signal.SIGKILL)


def held(instance: Running) -> int:
    """How many descriptors the supervisor has."""
    return len(os.listdir(f"/proc/{instance.pid}/fd"))


def begun(instance: Running) -> int:
    path = instance.project / "begun"
    return len(path.read_text()) if path.exists() else 0


@pytest.mark.parametrize("has_called", [True, False], ids=["used before", "new"])
def test_a_call_under_which_its_worker_is_killed_is_answered_502(instance: Running, *, has_called: bool) -> None:
    instance.write(SCRIPT)
    instance.ready()
    with caller(instance, has_called=has_called) as one:
        before = begun(instance)
        one.ask(wait="never")
        until(lambda: begun(instance) > before, "the call to begin")
        kill(instance)
        response, body = one.hear()
        assert response.status == 502
        assert response.headers["Connection"] == "close"
        assert response.headers["X-Request-Id"] == ID
        assert json.loads(body) == {"errors": ["the worker ended with signal 9 during the call"], "request_id": ID}
        assert one.has_ended()
        assert begun(instance) == before + 1


def test_a_call_that_ends_its_own_process_is_answered_502_with_its_status(instance: Running) -> None:
    instance.write("import os\ndef predict(status=None):\n    status is None or os._exit(status)\n")
    instance.ready()
    with caller(instance) as one:
        response, body = one.call(status=7)
        assert response.status == 502
        assert "status 7" in json.loads(body)["errors"][0]


def test_a_request_that_a_killed_worker_had_not_begun_may_be_sent_elsewhere(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    with caller(instance) as one:
        (worker,) = instance.worker_ids()
        os.kill(worker, signal.SIGSTOP)
        one.ask()
        os.kill(worker, signal.SIGKILL)
        response, _ = one.hear()
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
        assert one.has_ended()
        assert begun(instance) == 1


def test_who_asked_for_nothing_is_told_before_the_connection_ends(instance: Running) -> None:
    """A request may be on its way: that it is refused has to be there before it."""
    instance.write(SCRIPT)
    instance.ready()
    with caller(instance) as one:
        assert instance.is_healthy()  # so the last answer has been noted as well as sent
        kill(instance)
        response, _ = one.hear()
        assert (response.status, response.headers["Connection"]) == (503, "close")
        assert one.has_ended()


def test_an_answer_that_had_begun_is_not_followed_by_another(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    size = 20_000_000
    with caller(instance) as one:
        one.ask(size=size)
        start = one.stream.recv(1000)
        kill(instance)
        heard = len(start)
        while data := one.stream.recv(1 << 20):
            heard += len(data)
            assert b"HTTP/1.1" not in data
        assert heard < size


def test_an_instance_that_ends_refuses_in_words(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    with caller(instance) as one:
        instance.signal(signal.SIGTERM)
        response, _ = one.hear()
        assert response.status == 503
        assert one.has_ended()
    assert instance.ended_with() == 0


def test_the_worker_that_follows_keeps_connections_too(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    for _ in range(3):
        with caller(instance) as one:
            before = begun(instance)
            one.ask(wait="never")
            until(lambda before=before: begun(instance) > before, "the call to begin")  # type: ignore[misc]
            kill(instance)
            assert one.hear()[0].status == 502
        until(instance.is_healthy, "the next worker")


def test_only_so_many_connections_are_kept(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    callers = [Caller(instance) for _ in range(PLACES + 8)]
    kept = [each.call()[0].headers["Connection"] != "close" for each in callers]
    for each in callers:
        each.stream.close()
    assert sum(kept) == PLACES


def test_who_leaves_leaves_nothing_behind(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    before, some = held(instance), PLACES // 2
    for is_killed in (False, False, True):
        callers = [Caller(instance) for _ in range(some)]
        assert all(each.call()[0].headers["Connection"] != "close" for each in callers)
        until(lambda: held(instance) >= some, "the supervisor to hold them")
        if is_killed:
            kill(instance)
        for each in callers:
            each.stream.close()
        until(lambda: held(instance) <= before, "the supervisor to let go of them")
        until(instance.is_healthy, "a worker")


def test_no_worker_holds_the_connections_of_another(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(workers=2)
    first = instance.worker_ids()
    common = min(len(sockets(pid) & sockets(instance.pid)) for pid in first)
    with caller(instance):
        until(lambda: bool(holders(instance, first, common)), "the supervisor to hold the connection")
        (worker,) = holders(instance, first, common)
        kept = sockets(worker) & sockets(instance.pid)
        os.kill(next(pid for pid in first if pid != worker), signal.SIGKILL)
        until(lambda: bool(instance.worker_ids() - first) and instance.is_healthy(1), "another worker")
        (made,) = instance.worker_ids() - first
        assert kept - sockets(made), "it has all that the supervisor has"


def holders(instance: Running, workers: set[int], common: int) -> list[int]:
    """The workers that have more sockets in common with the supervisor than all of them have."""
    return [pid for pid in workers if len(sockets(pid) & sockets(instance.pid)) > common]


def sockets(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return {each for each in found if each.startswith("socket:")}


def test_a_full_worker_tells_who_has_been_idle_for_longest(instance: Running) -> None:
    """Not with a bare end: a request may be on its way."""
    instance.write(SCRIPT)
    instance.ready()
    with caller(instance) as one:
        others = [Caller(instance) for _ in range(CONNECTIONS)]
        response, _ = one.hear()
        assert (response.status, response.headers["Connection"]) == (503, "close")
        for each in others:
            each.stream.close()


def test_what_a_call_forks_keeps_no_connection_open(instance: Running) -> None:
    instance.write(
        "import os, time\nfrom pathlib import Path\n"
        "def predict(fork=False):\n"
        "    if fork and not os.fork():\n"
        "        while not Path('go').exists(): time.sleep(0.01)\n"
        "        os._exit(0)\n"
        "    return os.getpid()\n"
    )
    instance.ready()
    with caller(instance) as one:
        assert one.call(fork=True)[0].status == 200
        assert instance.is_healthy()
        kill(instance)
        assert one.hear()[0].status == 503
        assert one.has_ended()
    Path(instance.project / "go").touch()
