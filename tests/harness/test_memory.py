"""A worker that takes the memory of all: it goes, and the others do not notice."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from modelway_harness.memory import Guard

from tests.harness.instances import Running, is_alive, until

STEP_BYTES = 20_000_000
SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path
shared = b"x" * 60_000_000
kept = []
GROWS = "import time; kept = []\\nfor _ in range(30): kept.append(b'x' * 20_000_000); time.sleep(0.03)"
def predict(do="nothing"):
    if do == "grow":
        for step in range(30):
            kept.append(b"x" * 20_000_000)
            Path("steps").write_text(str(step + 1))
            time.sleep(0.03)
    if do == "grow 8":
        kept.extend(b"x" * 20_000_000 for _ in range(8))
    if do == "start":
        child = subprocess.Popen([sys.executable, "-c", GROWS])
        Path("child").write_text(str(child.pid))
        child.wait()
    if do == "wait":
        Path("waits").touch()
        while not Path("go").exists():
            time.sleep(0.01)
    return os.getpid()
"""
ID = "ABCDEFGH12345678"


@pytest.mark.parametrize("preload", [False, True], ids=["workers of their own", "pre-loaded"])
def test_a_worker_that_grows_beyond_the_instances_memory_is_ended_and_the_others_call_goes_on(
    instance: Running, *, preload: bool
) -> None:
    """What is resident counts more than is there where it is shared: with that alone nothing could grow at all."""
    instance.write(SCRIPT)
    limit = 240_000_000 if preload else 360_000_000
    instance.ready(workers=2, preload=preload, memory_bytes=limit)
    with ThreadPoolExecutor(1) as callers:
        other = callers.submit(instance.call, worker=1, do="wait")
        until((instance.project / "waits").exists, "the other call to begin")
        lost = instance.call(do="grow", headers={"X-Request-Id": ID})
        assert lost.status_code == 502
        why = "the worker used more memory than the instance has, and was ended during the call"
        assert lost.json() == {"errors": [why], "request_id": ID}
        (instance.project / "go").touch()
        assert other.result().status_code == 200
    until(instance.is_healthy, "the replacement")
    assert instance.call().status_code == 200
    said = instance.says()
    assert said.count("worker_over_memory") == 1
    told = re.search(rf"worker_over_memory worker=0 request_id={ID} memory_bytes=(\d+)\n", said)
    assert told is not None
    assert f"worker_replaced worker=0 ended_with=too_much_memory request_id={ID}\n" in said
    steps = int((instance.project / "steps").read_text())
    assert 2 <= steps < 30
    assert (steps - 2) * STEP_BYTES < int(told[1]) < limit + 200_000_000


def test_what_a_call_has_started_counts_as_its_workers_and_goes_with_it(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(workers=2, memory_bytes=360_000_000)
    assert instance.call(do="start").status_code == 502
    child = int((instance.project / "child").read_text())
    until(lambda: not is_alive(child), "what it started to end")
    assert "worker_over_memory worker=0" in instance.says()


def test_the_only_worker_is_left_to_the_platform_which_says_so_in_the_deployment_log(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(memory_bytes=120_000_000)
    assert instance.call(do="grow 8").status_code == 200
    assert "worker_over_memory" not in instance.says()


def test_where_the_limit_is_not_known_nobody_looks() -> None:
    guard = Guard(0)
    assert guard.next_s() == float("inf")
    assert guard.look([1], [2]) is None
