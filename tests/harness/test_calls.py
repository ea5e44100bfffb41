"""One thread, one call at a time, one deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import pytest
from modelway_harness.binding import Call
from modelway_harness.calls import Answered, Busy, Calls, Failed, NoTimeLeft, TookTooLong, Unfit


class Gate:
    """A function that waits until the test lets it go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> str:
        self.entered.set()
        assert self.open.wait(20)
        return "passed"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def loaded(function: Callable[..., object]) -> Calls:
    calls = Calls("predict")
    calls.load(lambda: function).result(20)
    return calls


def test_loading_and_every_call_happen_in_one_thread() -> None:
    threads: list[int] = []

    def load() -> Callable[..., object]:
        threads.append(threading.get_ident())
        return lambda: threads.append(threading.get_ident())

    calls = Calls("predict")
    calls.load(load).result(20)
    with ThreadPoolExecutor(3) as callers:
        for _ in range(3):
            callers.submit(calls.run, Call(), within_s=20).result(20)
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


def test_what_loading_raises_reaches_whoever_waits_for_it() -> None:
    def fail() -> Callable[..., object]:
        raise LookupError("no script")

    with pytest.raises(LookupError):
        Calls("predict").load(fail).result(20)


def test_a_second_call_is_refused_while_one_runs(gate: Gate) -> None:
    calls = loaded(gate.pass_through)
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(calls.run, Call(), within_s=20)
        assert gate.entered.wait(20)
        assert calls.is_busy
        assert not calls.is_overdue
        with pytest.raises(Busy):
            calls.run(Call(), within_s=20)
        gate.open.set()
        outcome = first.result(20)
    assert isinstance(outcome, Answered)
    assert outcome.result == '"passed"'
    assert not calls.is_busy


def test_a_second_call_that_may_wait_runs_when_the_first_is_over(gate: Gate) -> None:
    calls = loaded(gate.pass_through)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(calls.run, Call(), within_s=20)
        assert gate.entered.wait(20)
        second = callers.submit(calls.run, Call(), within_s=20, hold_s=20)
        gate.open.set()
        assert isinstance(first.result(20), Answered)
        assert isinstance(second.result(20), Answered)
    assert not calls.is_busy


def test_a_call_is_held_no_longer_than_it_may_be_and_not_past_its_own_time(gate: Gate) -> None:
    calls = loaded(gate.pass_through)
    with ThreadPoolExecutor(1) as callers:
        first = callers.submit(calls.run, Call(), within_s=20)
        assert gate.entered.wait(20)
        with pytest.raises(Busy):
            calls.run(Call(), within_s=20, hold_s=0.01)
        with pytest.raises(Busy):
            calls.run(Call(), within_s=0.01, hold_s=20)
        gate.open.set()
        first.result(20)
    with pytest.raises(NoTimeLeft):
        calls.run(Call(), within_s=0, hold_s=20)
    assert not calls.is_busy


def test_a_call_past_its_deadline_keeps_the_thread_and_says_where_it_is(gate: Gate) -> None:
    calls = loaded(gate.pass_through)
    with pytest.raises(TookTooLong) as late:
        calls.run(Call(), within_s=0.02)
    assert "in pass_through" in late.value.stack
    assert calls.is_overdue
    with pytest.raises(Busy):
        calls.run(Call(), within_s=20)


@pytest.mark.parametrize("error", [ValueError("no such flower"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_the_function_raises_the_next_call_is_answered(error: BaseException) -> None:
    errors = [error]

    def predict() -> int:
        if errors:
            raise errors.pop()
        return 1

    calls = loaded(predict)
    failed = calls.run(Call(), within_s=20)
    assert isinstance(failed, Failed)
    assert failed.message.startswith(type(error).__name__)
    assert "in predict" in failed.trace
    assert "modelway_harness" not in failed.trace
    assert isinstance(calls.run(Call(), within_s=20), Answered)


def test_a_type_error_inside_the_function_is_the_functions_own() -> None:
    def predict(x: object) -> object:
        raise TypeError("predict() missing 1 required argument: 'y'")

    failed = loaded(predict).run(Call(positional=(1,)), within_s=20)
    assert failed.message == "TypeError: predict() missing 1 required argument: 'y'"  # type: ignore[union-attr]


def test_a_result_that_is_not_json_is_the_functions_failure() -> None:
    failed = loaded(lambda: {"when": object()}).run(Call(), within_s=20)
    assert failed == Failed("predict() returned what JSON cannot hold: result['when'] is of type object", "")


@dataclass
class Slow:
    """A class of the user's that takes its time, and looks where it is made."""

    gate: ClassVar[Gate]
    made_in: ClassVar[list[int]] = []
    x: int

    def __post_init__(self) -> None:
        Slow.made_in.append(threading.get_ident())
        if self.x:
            Slow.gate.pass_through()


def takes_slow(row: Slow) -> int:
    Slow.made_in.append(threading.get_ident())
    return row.x


def test_arguments_are_converted_where_the_function_runs_and_within_its_time(gate: Gate) -> None:
    Slow.gate = gate
    calls = loaded(takes_slow)
    assert isinstance(calls.run(calls.binding.fit({"data": {"row": {"x": 0}}}), within_s=20), Answered)
    assert len(set(Slow.made_in)) == 1
    assert Slow.made_in[0] != threading.get_ident()
    with pytest.raises(TookTooLong) as late:
        calls.run(calls.binding.fit({"data": {"row": {"x": 1}}}), within_s=0.05)
    assert "in __post_init__" in late.value.stack


def test_arguments_that_annotations_do_not_take_are_no_call() -> None:
    calls = loaded(takes_slow)
    outcome = calls.run(calls.binding.fit({"data": {"row": {"x": "1"}}}), within_s=20)
    assert outcome == Unfit("data.row.x must be a whole number, not text")
