"""Scripts that are imported once an instance: what workers share, what keeps them from it, and how they end."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.harness.instances import Running, is_alive, live_children, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to whom they belong")

COUNTED = """
import os, threading
with open("imports", "a") as file:
    file.write(f"{os.getpid()}\\n")
imported_by = os.getpid()
began = []
def init():
    began.append(os.getpid())
def shutdown():
    print("shut down", os.getpid())
def predict(end=False):
    if end:
        os._exit(1)
    return [os.getpid(), imported_by, began]
"""


def imports(instance: Running) -> list[int]:
    return [int(line) for line in (instance.project / "imports").read_text().split()]


def refusal(instance: Running) -> str:
    """Why it was not pre-loaded."""
    said = instance.says()
    return said.partition("not pre-loaded: ")[2].partition(";")[0]


def test_workers_share_one_import_and_each_begins_for_itself(instance: Running) -> None:
    instance.write(COUNTED)
    instance.ready(workers=2, preload=True)
    (zygote,) = imports(instance)
    told = [instance.asked(worker=worker) for worker in (0, 1)]
    pids = [instance.says().partition(f"worker_ready worker={worker} pid=")[2].split()[0] for worker in (0, 1)]
    assert told == [(200, [int(pid), zygote, [int(pid)]]) for pid in pids]
    assert live_children(instance.pid) == {zygote, *map(int, pids)}
    assert refusal(instance) == ""
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0
    assert not any(is_alive(pid) for pid in (zygote, *map(int, pids)))
    assert instance.says("stdout").count("shut down") == 2


def test_a_worker_that_dies_is_replaced_without_another_import(instance: Running) -> None:
    instance.write(COUNTED)
    instance.ready(workers=2, preload=True)
    other = instance.asked(worker=1)
    assert instance.asked(end=True) == (502, None)
    until(instance.is_healthy, "the replacement")
    assert len(imports(instance)) == 1
    assert instance.asked(worker=1) == other


def test_a_recycled_worker_is_followed_by_one_that_shares_the_import(instance: Running) -> None:
    instance.write(COUNTED)
    instance.ready(preload=True, recycle_after_calls=2)
    before = instance.asked()
    for _ in range(2):
        instance.asked()
    until(lambda: "worker_recycled" in instance.says(), "the worker to be recycled")
    assert instance.asked() != before
    assert len(imports(instance)) == 1


def test_workers_and_zygote_do_not_outlive_a_killed_parent(instance: Running) -> None:
    instance.write(COUNTED)
    instance.ready(workers=2, preload=True)
    children = live_children(instance.pid)
    assert len(children) == 3
    instance.signal(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in children), "all to end")


def test_a_zygote_that_is_killed_is_made_again_when_a_worker_is_needed(instance: Running) -> None:
    instance.write(COUNTED)
    instance.ready(preload=True)
    before = instance.asked()
    os.kill(imports(instance)[0], signal.SIGKILL)
    until(lambda: len(imports(instance)) == 2, "another import")
    assert instance.asked() == before
    assert instance.asked(end=True) == (502, None)
    until(instance.is_healthy, "the replacement")
    assert "zygote_lost reason=signal_9" in instance.says()
    assert len(imports(instance)) == 2


def test_a_worker_past_its_deadline_is_replaced(instance: Running) -> None:
    instance.write("import time\ndef predict(long=False):\n    time.sleep(1000 if long else 0)\n    return 1\n")
    instance.ready(preload=True)
    assert instance.call(long=True, headers={"X-Modelway-Remaining-Ms": "100"}).status_code == 504
    until(lambda: "worker_replaced" in instance.says(), "the worker to end")
    until(instance.is_healthy, "the replacement")
    assert instance.asked() == (200, 1)


THREADS = """
import threading, time
for _ in "abc":
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
"""
UNSAFE = {
    THREADS: "the import started 3 threads",
    "import socket\nopened = socket.socket()\n": "the import left a socket open",
    "import asyncio\nloop = asyncio.new_event_loop()\n": "the import left an event loop open",
    "import os\nevents = os.eventfd(0)\n": "the import left what Linux calls eventfd open",
    "import os\npipe = os.pipe()\n": "the import left a pipe open",
    "opened = open(__file__)\n": "the import left the file {project}/predict.py open",
    "import subprocess\nran = subprocess.Popen(['sleep', '1000'])\n": "the import started a process",
}


@pytest.mark.parametrize("script", UNSAFE)
def test_what_a_fork_would_tear_is_imported_by_every_worker_itself_and_the_log_says_why(
    instance: Running, script: str
) -> None:
    instance.write(script + COUNTED)
    instance.ready(workers=2, preload=True)
    assert refusal(instance) == UNSAFE[script].format(project=instance.project)
    trial, *workers = imports(instance)
    assert set(workers) == instance.worker_ids()
    assert not is_alive(trial)
    assert [instance.asked(worker=worker)[1][1] for worker in (0, 1)] == [  # type: ignore[index]  # they answer
        instance.asked(worker=worker)[1][0]  # type: ignore[index]
        for worker in (0, 1)
    ]


SAFE = {
    "a log file": "import logging\nlogging.basicConfig(filename='log')\n",
    "a mapped file": "import mmap\nwith open(__file__) as file:\n    held = mmap.mmap(file.fileno(), 0, access=1)\n",
    "a thread that has ended": "import threading\nended = threading.Thread(target=int)\nended.start()\nended.join()\n",
    "a library whose threads mind forks": "import numpy\nsquare = numpy.ones((300, 300))\nsquare @ square\n",
}


@pytest.mark.parametrize("name", SAFE)
def test_what_a_fork_leaves_whole_is_shared(instance: Running, name: str) -> None:
    if "numpy" in SAFE[name]:
        pytest.importorskip("numpy")
    instance.write(SAFE[name] + COUNTED)
    instance.ready(preload=True)
    assert refusal(instance) == ""
    assert len(imports(instance)) == 1
    assert instance.asked() is not None


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("x = y\n", "predict.py could not be imported: NameError: name 'y' is not defined (predict.py:1)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "a worker ended with signal 9 while it imported predict.py"),
        ("import os\nos._exit(3)\n", "a worker ended with status 3 while it imported predict.py"),
        ("def other(): ...\n", "there is no function 'predict' in predict.py; it defines 'other'"),
        (
            "def predict(): ...\ndef init():\n    raise OSError('no weights')\n",
            "init() of predict.py failed: OSError: no weights (predict.py:3)",
        ),
    ],
)
def test_a_script_that_cannot_be_loaded_ends_the_instance_in_the_same_words(
    instance: Running, script: str, reason: str
) -> None:
    instance.write(script)
    told = []
    for preload in (True, False):
        instance.start(workers=2, preload=preload)
        assert instance.ended_with() == 3
        told.append(json.loads(instance.exit_file.read_text()))
        instance.clean()
    assert told[0] == told[1]
    assert told[0]["reason"] == reason


def test_a_stop_during_the_import_does_not_wait_for_it(instance: Running) -> None:
    instance.write("import time\nfrom pathlib import Path\nPath('entered').touch()\ntime.sleep(1000)\n")
    instance.start(workers=2, preload=True)
    until((instance.project / "entered").exists, "the import to begin")
    children = live_children(instance.pid)
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0
    assert not any(is_alive(pid) for pid in children)


def test_what_is_imported_is_held_once(instance: Running) -> None:
    instance.write("import os\nheld = bytearray(os.urandom(1 << 20) * 40)\ndef predict():\n    return len(held)\n")
    instance.ready(workers=3, preload=True)
    assert [instance.asked(worker=worker) for worker in range(3)] == [(200, 40 << 20)] * 3
    share = sum(share_bytes(pid) for pid in live_children(instance.pid))
    assert share < 2 * (40 << 20) + (40 << 20)


def share_bytes(pid: int) -> int:
    """Its memory, of which what n processes share counts an n-th."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
