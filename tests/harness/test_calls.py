"""One thread, one call at a time, one deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import pytest
from modelway_harness.binding import Call
from modelway_harness.calls import Answered, Calls, Failed, TookTooLong, Unfit


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


def test_a_call_past_its_deadline_keeps_the_thread_and_says_where_it_is(gate: Gate) -> None:
    calls = loaded(gate.pass_through)
    with pytest.raises(TookTooLong) as late:
        calls.run(Call(), within_s=0.02)
    assert "in pass_through" in late.value.stack
    assert calls.stack == late.value.stack


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


def test_a_coroutine_is_awaited_in_one_event_loop_for_all_calls() -> None:
    loops: list[object] = []

    async def predict() -> int:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        return len(loops)

    with closing(loaded(predict)) as calls:
        outcomes = [calls.run(Call(), within_s=20) for _ in range(2)]
    assert [each.result for each in outcomes if isinstance(each, Answered)] == ["1", "2"]
    assert loops[0] is loops[1]


def test_a_function_may_run_an_event_loop_of_its_own() -> None:
    async def inner() -> int:
        return 7

    outcome = loaded(lambda: asyncio.run(inner())).run(Call(), within_s=20)
    assert isinstance(outcome, Answered)
    assert outcome.result == "7"


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


async def pieces() -> AsyncIterator[int]:
    for each in (1, 2):
        await asyncio.sleep(0)
        yield each


def test_an_async_generator_becomes_a_list() -> None:
    calls = loaded(pieces)
    answered = calls.run(Call(), within_s=20)
    assert isinstance(answered, Answered)
    assert answered.result == "[1,2]"
    calls.close()
