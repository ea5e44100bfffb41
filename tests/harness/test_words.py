"""What a script prints and logs: where it goes, when, and which request it belongs to."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from modelway_harness import asking, request_id
from modelway_harness.records import Record

from tests.harness.instances import Running, until

GATE = """
import ctypes, os, sys
from pathlib import Path
from time import sleep
def wait():
    while not Path("go").exists():
        sleep(0.01)
"""


@pytest.mark.parametrize(
    ("code", "stream", "words"),
    [
        ("print('half a line', end='')", "stdout", "half a line"),
        ("sys.stderr.write('half a line')", "stderr", "half a line"),
        ("sys.stdout.buffer.write(b'bytes')", "stdout", "bytes"),
        ("ctypes.CDLL(None).puts(b'a line of C')", "stdout", "a line of C\n"),
        ("os.fork() or (print('of a child', end=''), os._exit(0))", "stdout", "of a child"),
        ("os.fork() or (sys.stderr.write('of a child'), os.kill(os.getpid(), 9))", "stderr", "of a child"),
        ("print('both?', end=''); os.fork() or (print('child', end=''), os._exit(0))", "stdout", "both?child"),
    ],
)
def test_what_is_printed_is_in_the_log_while_the_call_runs_also_without_an_end_of_line(
    instance: Running, code: str, stream: str, words: str
) -> None:
    instance.write(f"{GATE}def predict():\n    {code}\n    wait()\n")
    instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(instance.asked)
        until(lambda: words in instance.says(stream), "the words to be in the log")
        assert not running.done()
        (instance.project / "go").touch()
        assert running.result() == (200, None)
    assert instance.says(stream).count(words) == 1


def test_lines_of_several_workers_do_not_tear_each_other(instance: Running) -> None:
    instance.write("def predict():\n    for _ in range(2000):\n        print('x' * 50, 'y' * 50)\n")
    instance.ready(workers=3)
    with ThreadPoolExecutor(3) as callers:
        assert list(callers.map(lambda worker: instance.asked(worker=worker), range(3))) == [(200, None)] * 3
    lines = instance.says("stdout").splitlines()
    assert len(lines) == 6000
    assert set(lines) == {f"{'x' * 50} {'y' * 50}"}


LOGGING = """
import asyncio, logging
from concurrent.futures import ThreadPoolExecutor
from modelway_harness import request_id
logging.basicConfig(format="<%(levelname)s %(request_id)s> %(message)s")
logging.warning("imported")
aside = ThreadPoolExecutor(1)
def predict():
    logging.warning("called")
    return [request_id(), aside.submit(request_id).result()]
async def later():
    await asyncio.sleep(0)
    logging.warning("awaited")
    return [request_id(), await asyncio.to_thread(request_id)]
"""


@pytest.mark.parametrize(("function", "word"), [("predict", "called"), ("later", "awaited")])
def test_the_function_knows_the_id_of_its_request_and_so_does_its_log(
    instance: Running, function: str, word: str
) -> None:
    instance.write(LOGGING)
    instance.ready(function=function)
    for asked in ("ABCDEFGHIJKLMNOP", "0123456789ABCDEF"):
        answer = instance.call(headers={"X-Request-Id": asked})
        assert answer.json()["result"] == [asked, asked]
        assert f"<WARNING {asked}> {word}\n" in instance.says()
    assert "<WARNING -> imported\n" in instance.says()


def test_no_request_runs_outside_of_a_call() -> None:
    assert request_id() == ""


@pytest.fixture
def asking_for() -> Iterator[str]:
    asking.now = "ABCDEFGHIJKLMNOP"
    yield asking.now
    asking.now = ""


def record(**extra: object) -> logging.LogRecord:
    made = Record("name", logging.INFO, "path", 1, "%s and %s", (1, 2), None)
    made.__dict__.update(extra)
    return made


def test_a_record_keeps_the_id_it_was_made_with_also_in_another_process(asking_for: str) -> None:
    made = record()
    asking.now = "OTHER"
    there = pickle.loads(pickle.dumps(made))  # noqa: S301  # our own
    assert logging.Formatter("%(request_id)s %(message)s").format(there) == f"{asking_for} 1 and 2"


def test_what_the_users_code_says_of_a_request_id_counts(asking_for: str) -> None:
    logger = logging.Logger("theirs")
    logging.setLogRecordFactory(Record)
    try:
        made = logger.makeRecord("theirs", logging.INFO, "f", 1, "hello", (), None, extra={"request_id": "mine"})
    finally:
        logging.setLogRecordFactory(logging.LogRecord)
    assert logging.Formatter("%(request_id)s").format(made) == "mine"
