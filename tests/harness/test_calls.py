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

from tests.harness.instances import until


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


class Elsewhere:
    """A server that never answers: what is awaited stays until the test is over."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._leave: Callable[[], object] = lambda: None

    async def answer(self) -> None:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        self._leave = lambda: loop.call_soon_threadsafe(over.set)
        self.asked.set()
        await over.wait()

    async def rows(self) -> AsyncIterator[int]:
        yield 1
        await self.answer()

    async def in_a_coroutine(self) -> None:
        await self.answer()

    async def in_a_generator(self) -> AsyncIterator[int]:
        async for each in self.rows():
            yield each

    async def in_a_task(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.in_a_coroutine())

    def close(self) -> None:
        self._leave()


@pytest.mark.parametrize(
    ("way", "through"),
    [
        (Elsewhere.in_a_coroutine, ["in_a_coroutine", "answer", "wait"]),
        (Elsewhere.in_a_generator, ["in_a_generator", "rows", "answer", "wait"]),
        (Elsewhere.in_a_task, ["in_a_task", "__aexit__", "in_a_coroutine", "answer", "wait"]),
    ],
)
def test_an_async_call_past_its_deadline_says_what_it_awaits(way: Callable[..., object], through: list[str]) -> None:
    elsewhere = Elsewhere()
    calls = loaded(lambda: way(elsewhere))
    with closing(calls), closing(elsewhere), ThreadPoolExecutor(1) as caller:
        running = caller.submit(calls.run, Call(), within_s=20)
        assert elsewhere.asked.wait(20)
        until(lambda: calls.stack.endswith("await fut\n"), "it waits")
        lines = calls.stack.splitlines()
        assert [line.rpartition(" in ")[2] for line in lines if line.startswith("  File ")] == through
        assert "modelway_harness" not in calls.stack
        elsewhere.close()
        running.result(20)
    assert calls.stack == ""


def test_an_async_function_that_blocks_says_where(gate: Gate) -> None:
    async def predict() -> None:
        gate.pass_through()

    with closing(loaded(predict)) as calls:
        with pytest.raises(TookTooLong) as late:
            calls.run(Call(), within_s=0.05)
        gate.open.set()
    assert " in predict\n" in late.value.stack.splitlines(keepends=True)[0]
    assert "in pass_through" in late.value.stack


async def failing() -> None:
    await asyncio.sleep(0)
    raise ValueError("no such flower")


async def failing_half_way() -> AsyncIterator[int]:
    yield 1
    await failing()


@pytest.mark.parametrize("function", [failing, failing_half_way])
def test_the_traceback_of_an_async_function_begins_in_it(function: Callable[..., object]) -> None:
    with closing(loaded(function)) as calls:
        failed = calls.run(Call(), within_s=20)
    assert isinstance(failed, Failed)
    assert failed.trace.splitlines()[1].endswith(f" in {function.__name__}")


def test_what_is_gathered_can_be_left_at_its_next_piece() -> None:
    closed: list[str] = []

    def predict() -> Iterator[int]:
        try:
            yield 1
            assert calls.gathers is not None
            calls.gathers.leave()
            yield 2
            closed.append("went on")
        finally:
            closed.append("closed")

    calls = loaded(predict)
    outcome = calls.run(Call(), within_s=20)
    assert isinstance(outcome, Answered)
    assert (outcome.result, closed, calls.gathers) == ("[]", ["closed"], None)
