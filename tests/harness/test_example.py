"""The example call: answered by every worker before it takes any other, on the path of a real one."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from modelway_harness.calls import Calls
from modelway_harness.example import answer_example
from modelway_harness.loader import LoadFailed

from tests.harness.instances import Running, until

EXAMPLE = json.dumps({"data": {"x": 1}})


@pytest.fixture
def leave() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def loaded(function: Callable[..., object]) -> Calls:
    calls = Calls("predict")
    calls.load(lambda: function).result(20)
    return calls


def why(function: Callable[..., object], body: str, *, within_s: float = 20.0) -> str:
    with pytest.raises(LoadFailed) as failed:
        answer_example(loaded(function), body, within_s=within_s)
    return failed.value.reason


def test_an_example_is_one_call_in_the_thread_that_calls_are_made_in() -> None:
    threads: list[int] = []

    def predict(x: Any) -> Any:
        threads.append(threading.get_ident())
        return x

    calls = loaded(predict)
    answer_example(calls, EXAMPLE, within_s=20)
    calls.run(calls.binding.bind({"data": {"x": 2}}), within_s=20)
    assert len(threads) == 2
    assert len(set(threads)) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "the body is not JSON: "),
        ('{"data": {"y": 1}}', "predict() missing 1 required argument: 'x'"),
        ("[]", 'the body must be a JSON object with "data" or "parameters", not a list'),
        ('{"data": {"x": 0}}', "ZeroDivisionError: division by zero"),
        ('{"data": {"x": 2}}', "predict() returned what JSON cannot hold: result is of type object"),
    ],
)
def test_what_a_caller_would_have_been_told_is_why_it_failed(body: str, reason: str) -> None:
    def predict(x: Any) -> object:
        return object() if x == 2 else 1 / x

    assert why(predict, body).startswith(f"its example input failed: {reason}")


def test_an_example_that_passes_the_request_timeout_has_failed_and_says_where_it_was(leave: threading.Event) -> None:
    def predict(x: Any) -> object:
        return leave.wait(20)

    with pytest.raises(LoadFailed) as failed:
        answer_example(loaded(predict), EXAMPLE, within_s=0.05)
    assert failed.value.reason == "its example input failed: it took longer than 0.05 s, the request timeout"
    assert "in predict" in failed.value.detail


def test_every_worker_answers_the_example_before_anybody_can_connect(instance: Running) -> None:
    instance.write(
        "from pathlib import Path\nfrom time import sleep\n"
        "def predict(x):\n    print('called with', x)\n"
        "    while not Path('go').exists():\n        sleep(0.01)\n    return x\n"
    )
    instance.start(workers=2, example_input=EXAMPLE)
    until(lambda: instance.says("stdout").count("called with 1\n") == 2, "both to answer it")
    assert not instance.is_healthy()
    (instance.project / "go").touch()
    until(lambda: instance.is_healthy(0) and instance.is_healthy(1), "both to be healthy")
    assert instance.says().count("example_answered") == 2
    assert EXAMPLE.encode() not in Path(f"/proc/{instance.pid}/cmdline").read_bytes()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no such flower')", "ValueError: no such flower"),
        ("import time; time.sleep(600)", "it took longer than 0.5 s, the request timeout"),
        ("import os; os._exit(0)", "the worker ended with status 0 while it answered"),
    ],
)
def test_an_instance_whose_example_fails_ends_and_says_why(instance: Running, body: str, reason: str) -> None:
    instance.write(f"def predict(x):\n    {body}\n")
    instance.start(example_input=EXAMPLE, request_timeout_s=0.5)
    assert instance.ended_with() == 3
    left = json.loads(instance.exit_file.read_text())
    assert (left["kind"], left["reason"]) == ("load_failed", f"its example input failed: {reason}")
    assert left["detail"] in instance.says()
    assert not instance.sockets[0].exists()


def test_a_stop_does_not_wait_for_the_example(instance: Running) -> None:
    instance.write("import time\ndef predict(x):\n    print('called')\n    time.sleep(600)\n")
    instance.start(example_input=EXAMPLE)
    until(lambda: "called" in instance.says("stdout"), "the example to be called")
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0


def test_a_new_worker_answers_the_example_again(instance: Running) -> None:
    instance.write(
        "import os\ncalls = 0\ndef predict(x):\n    global calls\n    calls += 1\n"
        "    if x == 9:\n        os._exit(1)\n    return calls\n"
    )
    instance.ready(example_input=EXAMPLE)
    assert instance.call(x=0).json()["result"] == 2
    assert instance.call(x=9).status_code == 502
    until(instance.is_healthy, "the next worker")
    assert instance.call(x=0).json()["result"] == 2


@pytest.mark.slow
def test_an_example_that_lets_no_other_thread_run_ends_the_instance_all_the_same(instance: Running) -> None:
    instance.write("import ctypes, time\ndef predict(x):\n    time.sleep(0.2)\n    ctypes.PyDLL(None).sleep(600)\n")
    instance.start(example_input=EXAMPLE, request_timeout_s=0.3)
    assert instance.ended_with() == 3
    reason = json.loads(instance.exit_file.read_text())["reason"]
    assert reason.startswith("its example input failed: the worker ended with signal")
