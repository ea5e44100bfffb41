"""Workers that are followed by fresh ones after a number of calls, and what their callers notice of it: nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest
from modelway_harness import serving
from modelway_harness.succession import JITTER, back_off_s, drawn

from tests.harness.instances import WITHIN_S, Running, until
from tests.harness.served import Served, asked, connect

HOLDS = {"X-Modelway-Hold-Ms": "15000"}
JSON = {"Content-Type": "application/json"}
# Imports, and is called, only while there is no file that keeps it from that.
GATED = """
import os
from pathlib import Path
from time import sleep
def wait(name):
    Path(name + "-waits").touch()
    while Path(name + "-gate").exists():
        sleep(0.01)
wait("import")
def predict(gated=False):
    if gated:
        wait("call")
    return os.getpid()
def shutdown():
    print("shut down", os.getpid())
"""


def body(**data: object) -> bytes:
    return json.dumps({"data": data}).encode()


def count(instance: Running, event: str) -> int:
    return instance.says().count(f"modelway_harness: {event} ")


class Caller(threading.Thread):
    """Calls one worker until told to end, on one connection after the other, or on those that are kept."""

    def __init__(self, path: Path, *, is_kept: bool) -> None:
        super().__init__(daemon=True)
        self.path, self.is_kept = path, is_kept
        self.is_over = threading.Event()
        self.pids: dict[int, int] = {}
        self.wrong: list[object] = []
        self.start()

    def run(self) -> None:
        while not self.is_over.is_set():
            try:
                self._call_on_one_connection()
            except Exception as error:
                self.wrong.append(error)

    def _call_on_one_connection(self) -> None:
        with closing(connect(self.path)) as connection:
            is_kept = True
            while is_kept and not self.is_over.is_set():
                reply = asked(connection, "POST", "/model", body(), JSON | HOLDS)
                if reply.status_code != 200:
                    self.wrong.append(reply)
                    return
                pid = reply.json()["result"]
                self.pids[pid] = self.pids.get(pid, 0) + 1
                is_kept = self.is_kept and reply.headers["Connection"] != "close"


@pytest.mark.parametrize("is_kept", [False, True], ids=["a connection each", "kept connections"])
def test_no_call_is_lost_or_refused_while_the_only_worker_is_recycled_under_load(
    instance: Running, is_kept: bool
) -> None:
    instance.write("import os\ndef predict():\n    return os.getpid()\n")
    instance.ready(recycle_after_calls=100)
    callers = [Caller(instance.sockets[0], is_kept=is_kept) for _ in range(4)]
    until(lambda: count(instance, "worker_recycled") >= 5, "five workers to have gone")
    for caller in callers:
        caller.is_over.set()
        caller.join(WITHIN_S)
    assert [wrong for caller in callers for wrong in caller.wrong] == []
    assert len(set().union(*(caller.pids for caller in callers))) >= 5
    assert count(instance, "worker_replaced") == 0
    assert count(instance, "worker_recycled") == instance.says().count("ended_with=status_0")


def test_the_old_worker_serves_until_the_new_one_is_ready_and_answers_whoever_came_to_it(instance: Running) -> None:
    instance.write(GATED)
    instance.ready(recycle_after_calls=1)
    old = due(instance)
    (instance.project / "call-gate").touch()
    with ThreadPoolExecutor(1) as callers, closing(connect(instance.sockets[0])) as second:
        runs = callers.submit(instance.call, gated=True)
        until((instance.project / "call-waits").exists, "a call to begin")
        second.request("POST", "/model", body(), JSON | HOLDS)  # it is at the door, or in it
        (instance.project / "import-gate").unlink()
        until(lambda: count(instance, "worker_retires") == 1, "the old worker to be told to go")
        new = instance.call().json()["result"]
        assert new != old
        assert not runs.done()
        (instance.project / "call-gate").unlink()
        assert runs.result().json()["result"] == old
        assert json.loads(second.getresponse().read())["result"] == old
    until(lambda: f"worker_recycled worker=0 pid={old} ended_with=status_0" in instance.says(), "the old to end")
    assert f"shut down {old}" in instance.says("stdout")
    assert "worker_retires worker=0" in instance.says()
    assert "reason=recycle_after_calls" in instance.says()


def due(instance: Running) -> int:
    """Call until a successor is on its way, which then waits while it imports; who it is that it follows."""
    (instance.project / "import-gate").touch()
    old = instance.holds_socket()
    instance.call()  # by the second call the jitter does not matter
    until(lambda: count(instance, "successor_started") == 1, "a successor")
    return old


def test_one_worker_of_an_instance_goes_at_a_time(instance: Running) -> None:
    instance.write(GATED)
    instance.ready(workers=2, recycle_after_calls=1)
    due(instance)
    for _ in range(3):
        instance.asked(worker=1)
    until(lambda: count(instance, "worker_due") == 2, "the other worker to be due")
    assert count(instance, "successor_started") == 1
    assert len(instance.worker_ids()) == 3
    (instance.project / "import-gate").unlink()
    until(lambda: count(instance, "worker_recycled") == 2, "both to have gone")
    first, second = instance.says().index("worker_recycled"), instance.says().rindex("successor_started")
    assert first < second


def test_a_successor_that_cannot_load_costs_nothing_and_another_is_tried_later(instance: Running) -> None:
    instance.write(GATED)
    instance.ready(recycle_after_calls=1)
    old = instance.holds_socket()
    instance.write("raise RuntimeError('changed under way, and longer')\n")
    instance.call()
    until(lambda: count(instance, "successor_failed") == 1, "the successor to fail")
    assert "successor_failed worker=0 ended_with=status_3 again_in_s=5\n" in instance.says()
    assert "changed under way" in instance.says()
    assert instance.holds_socket() == old
    assert not instance.exit_file.exists()


def test_a_worker_that_dies_while_its_successor_imports_has_it_for_a_replacement(instance: Running) -> None:
    instance.write(GATED + "def end():\n    os._exit(1)\n")
    instance.ready(recycle_after_calls=1)
    old = due(instance)
    os.kill(old, signal.SIGKILL)
    until(lambda: count(instance, "worker_replaced") == 1, "the old worker to be missed")
    (instance.project / "import-gate").unlink()
    until(instance.is_healthy, "the successor")
    assert len(instance.worker_ids()) == 1
    assert count(instance, "worker_ready") == 2


def test_without_the_setting_a_worker_stays(instance: Running) -> None:
    instance.write("import os\ndef predict():\n    return os.getpid()\n")
    instance.ready()
    assert len({instance.asked() for _ in range(50)}) == 1


def test_each_worker_draws_a_number_of_its_own() -> None:
    numbers = {drawn(1000) for _ in range(100)}
    assert len(numbers) > 90
    assert all(1000 * (1 - JITTER) <= number <= 1000 * (1 + JITTER) for number in numbers)
    assert max(numbers) - min(numbers) > 1000 * JITTER
    assert drawn(0) == float("inf")


def test_the_back_off_of_successors_has_a_bound() -> None:
    assert back_off_s(10_000) == 300.0


def test_a_kept_connection_is_answered_once_more_and_then_closed(serve: Callable[..., Served]) -> None:
    served = serve(lambda x=None: x)
    with closing(served.connection()) as kept:
        assert asked(kept, "POST", "/model", body(x=1), JSON).headers["Connection"] is None
        served.serving.retire()
        until(lambda: served.reception.is_retiring, "the worker to have heard of it")
        last = asked(kept, "POST", "/model", body(x=2), JSON)
    assert (last.json()["result"], last.headers["Connection"]) == (2, "close")
    until(served._served.done, "the worker to end")


def test_requests_that_were_sent_one_behind_the_other_are_all_answered(serve: Callable[..., Served]) -> None:
    served = serve(lambda x=None: x)
    calls = [b"POST /model HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n%s" % (len(body()), body())] * 3
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(WITHIN_S)
        caller.connect(str(served.path))
        caller.sendall(calls[0])
        caller.recv(65536)
        served.serving.retire()
        until(lambda: served.reception.is_retiring, "the worker to have heard of it")
        caller.sendall(b"".join(calls))
        answers = b"".join(iter(lambda: caller.recv(65536), b""))
    assert answers.count(b"HTTP/1.1 200 ") == 3
    assert answers.count(b"Connection: close") == 1


def test_an_idle_connection_does_not_keep_a_worker_and_what_it_had_sent_is_answered(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "IDLE_S", 0.2)
    served = serve(lambda x=None: x)
    began = monotonic()
    with closing(served.connection()) as kept:
        asked(kept, "POST", "/model", body(x=1), JSON)
        served.serving.retire()
        until(served._served.done, "the worker to end")
        assert monotonic() - began >= 0.2
        with pytest.raises(OSError, match=r"Broken pipe|[Rr]eset"):
            kept.send(b"POST")


@pytest.mark.slow
def test_threads_without_end_do_not_keep_a_worker_that_has_retired(instance: Running) -> None:
    instance.write(
        "import threading, time\ndef predict():\n    threading.Thread(target=time.sleep, args=(1000,)).start()\n"
    )
    instance.ready(recycle_after_calls=1)
    for _ in range(2):
        assert instance.asked() == (200, None)
    until(lambda: count(instance, "worker_recycled") == 1, "the worker to have ended")
    assert count(instance, "worker_replaced") == 0


def test_where_no_successor_can_be_made_the_worker_goes_on(instance: Running) -> None:
    instance.write(
        "import os, resource\ndef predict(limit=False):\n    if limit:\n"
        "        resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (8, 4096))\n    return os.getpid()\n"
    )
    instance.ready(recycle_after_calls=2)
    old = instance.asked(limit=True)
    for _ in range(2):
        assert instance.asked() == old
    until(lambda: count(instance, "successor_failed") == 1, "the successor not to be made")
    assert count(instance, "worker_not_made") == 1
    assert instance.asked() == old
