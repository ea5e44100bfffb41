"""Functions that misbehave: each harms its own worker at most, and the instance is whole again soon after."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness.instances import Running, is_alive, until
from tests.harness.served import Served, asked

# What is done -> the code, and what its caller is told: 502 by the supervisor when the process is gone; ANY is either.
ANY = -1
DEEDS: dict[str, tuple[str, int]] = {
    "ends the process": ("os._exit(0)", 502),
    "kills its process": ("os.kill(os.getpid(), 9)", 502),
    "aborts": ("os.abort()", 502),
    "exits": ("sys.exit(0)", 500),
    "is interrupted": ("raise KeyboardInterrupt", 500),
    "recurses without end": ("deed(name)", 500),
    "asks for more memory than there is": ("limit(); return len(bytearray(1 << 40))", 500),
    "fills the memory bit by bit": ("limit(); kept = []\n    while True: kept.append(bytearray(1 << 20))", 500),
    "forks, and the child returns": ("return os.fork() and None", 200),
    "forks, and the child raises": ("child = os.fork()\n    if child == 0: raise ValueError", 200),
    "forks, and the child stays": ("child = os.fork()\n    if child == 0: time.sleep(1000)\n    return child", 200),
    "replaces stdout": ("sys.stdout = sys.stderr = io.StringIO(); print('lost')", 200),
    "breaks stdout": ("sys.stdout = sys.stderr = sys.__stdout__ = object()", 200),
    "closes the standard descriptors": ("os.close(0); os.close(1); os.close(2)", 200),
    "closes every descriptor": ("os.closerange(0, 4096)", 502),
    "closes every descriptor and stays": ("os.closerange(0, 4096); time.sleep(1000)", 502),
    "sets a handler of signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", 500),
    "blocks signals": ("signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))", 200),
    "sets an alarm": ("signal.setitimer(signal.ITIMER_REAL, 0.01); time.sleep(1000)", 502),
    "has itself ended with a traceback": ("faulthandler.dump_traceback_later(0.01, exit=True); time.sleep(1000)", 502),
    "starts threads that never end": (
        "[threading.Thread(target=time.sleep, args=(1000,)).start() for _ in '123']",
        200,
    ),
    "ends the main thread": ("end_main(); time.sleep(1000)", 502),
    "goes elsewhere": ("os.chdir('/'); os.umask(0o777)", 200),
    "clears its environment": ("os.environ.clear(); sys.path.clear()", 200),
    "patches json": ("json.dumps = json.loads = json.JSONDecoder = None", 200),
    "patches time": ("time.monotonic = time.time = time.perf_counter = lambda: 0.0", 200),
    "patches sockets": ("socket.socket.recv = socket.socket.send = socket.socket.accept = None", 502),
    "patches os": ("os.read = os.write = os.close = os.getpid = None", ANY),
    "raises what cannot be told": ("raise type('Untold', (Exception,), {'__str__': lambda self: 1 / 0})()", 500),
    "returns what cannot be asked": ("return type('Odd', (), {'__class__': property(lambda self: 1 / 0)})()", 500),
}

SCRIPT = """
import ctypes, faulthandler, io, json, os, resource, signal, socket, sys, threading, time

def limit():
    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))

def end_main():
    main = ctypes.c_ulong(threading.main_thread().ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(main, ctypes.py_object(SystemExit))

def pid():
    return int(open('/proc/self/stat').read().split()[0])

def deed(name):
    return DEEDS[name](name)

def predict(name=''):
    return [pid(), deed(name) if name else None]

DEEDS = {}
"""


def script() -> str:
    defined = [f"def deed_{number}(name):\n    {code}\n" for number, (code, _) in enumerate(DEEDS.values())]
    named = [f"DEEDS[{name!r}] = deed_{number}\n" for number, name in enumerate(DEEDS)]
    return SCRIPT + "".join(defined + named)


class Steady:
    """Calls the other worker of an instance, one call after the other, and keeps what it answers."""

    def __init__(self, instance: Running) -> None:
        self.instance = instance
        self.answers: list[object] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _call(self) -> None:
        while not self._is_over.wait(0.005):
            self.answers.append(self.instance.asked(worker=1))


@pytest.fixture(scope="module")
def steady() -> Iterator[Steady]:
    folder = Path(tempfile.mkdtemp(prefix="mwh-", dir="/tmp"))
    instance = Running(folder)
    instance.project.mkdir()
    (folder / "home").mkdir()
    instance.write(script())
    try:
        instance.ready(workers=2, request_timeout_s=10.0)
        calls = Steady(instance)
        yield calls
        calls.stop()
    finally:
        instance.clean()
        shutil.rmtree(folder)


@pytest.mark.parametrize("deed", DEEDS)
def test_it_harms_its_own_worker_at_most(steady: Steady, deed: str) -> None:
    instance, seen = steady.instance, len(steady.answers)
    until(lambda: len(steady.answers) > seen, "the other worker to answer")
    usual = steady.answers[seen]
    done = instance.asked(name=deed)
    assert DEEDS[deed][1] in ((done and done[0]), ANY), instance.says()
    until(lambda: (instance.asked() or (0,))[0] == 200, "the worker, or a fresh one, to answer")
    assert all(answer == usual for answer in steady.answers[seen:]), instance.says()
    if deed == "forks, and the child stays":
        assert done is not None
        os.kill(done[1][1], signal.SIGKILL)


def test_a_worker_whose_clock_is_replaced_is_not_taken_for_hung(instance: Running) -> None:
    """Its supervisor looks at least once a second."""
    instance.write("import time\ndef predict():\n    time.monotonic = lambda: 0.0\n    time.sleep(1.2)\n")
    instance.ready()
    assert instance.asked() == (200, None)
    assert "worker_hung" not in instance.says()
    assert "worker_replaced" not in instance.says()


def test_what_is_printed_to_a_closed_descriptor_reaches_no_caller(instance: Running) -> None:
    instance.write(
        "import os, ctypes\ndef predict(close=False):\n    if close:\n        os.closerange(0, 3)\n        return 1\n"
        "    print('secret')\n    os.write(1, b'secret')\n    ctypes.CDLL(None).puts(b'secret')\n    return 2\n"
    )
    instance.ready()
    assert instance.asked(close=True) == (200, 1)
    assert [instance.asked() for _ in range(3)] == [(200, 2)] * 3
    assert len(instance.worker_ids()) == 1
    assert "worker_replaced" not in instance.says()


def test_a_stop_ends_a_worker_that_ignores_signals_and_has_threads_without_end(instance: Running) -> None:
    instance.write(
        "import ctypes, signal, threading, time\ndef predict():\n"
        "    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT):\n"
        "        ctypes.CDLL(None).signal(number, ctypes.c_void_p(1))\n"
        "    threading.Thread(target=time.sleep, args=(1000,)).start()\n"
    )
    instance.ready(workers=2, grace_s=1)
    assert instance.asked() == (200, None)
    workers = instance.worker_ids()
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0
    assert not any(is_alive(pid) for pid in workers)


@pytest.mark.slow
def test_a_call_that_sleeps_in_c_and_lets_no_thread_run_is_ended_and_the_other_worker_goes_on(
    instance: Running,
) -> None:
    instance.write(
        "import ctypes\nfrom pathlib import Path\ndef predict(hang=False):\n    if hang:\n"
        "        Path('entered').touch()\n        ctypes.PyDLL(None).sleep(1000)\n    return 1\n"
    )
    instance.ready(workers=2, request_timeout_s=0.5)
    lost: list[object] = []
    caller = threading.Thread(target=lambda: lost.append(instance.asked(hang=True)))
    caller.start()
    until((instance.project / "entered").exists, "the call to begin")
    assert not instance.is_healthy_within(0.2)
    while caller.is_alive():
        assert instance.asked(worker=1) == (200, 1)
    assert lost == [(502, None)]
    until(instance.is_healthy, "a fresh worker")
    assert instance.asked() == (200, 1)


def test_health_is_true_while_a_call_runs_in_time_and_false_once_it_is_past_its_deadline(
    serve: Callable[..., Served],
) -> None:
    entered, is_over = threading.Event(), threading.Event()

    def stuck() -> None:
        entered.set()
        is_over.wait(20)

    served = serve(stuck)
    with closing(served.connection()) as prober, ThreadPoolExecutor(1) as callers:
        assert asked(prober, "GET", "/health").status_code == 200
        headers = {"Content-Type": "application/json", "X-Modelway-Remaining-Ms": "1000"}
        call = callers.submit(served.request, "POST", "/model", b'{"data": {}}', headers)
        assert entered.wait(20)
        assert asked(prober, "GET", "/health").status_code == 200
        assert call.result().status_code == 504
        health = asked(prober, "GET", "/health")
        assert (health.status_code, health.json()) == (503, {"status": "wedged"})
        with closing(served.connection()) as late, pytest.raises(OSError, match="refused"):
            late.connect()
        is_over.set()
