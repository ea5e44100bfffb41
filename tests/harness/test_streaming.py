"""Results that come piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from modelway_harness.encoding import NotJson
from modelway_harness.streaming import Streamed, streamed


def pieces(closed: list[str]) -> Iterator[object]:
    try:
        yield 1
        yield {"a": float("nan")}
    finally:
        closed.append("closed")


async def later(closed: list[str]) -> AsyncIterator[object]:
    try:
        for each in (1, 2):
            await asyncio.sleep(0)
            yield each
    finally:
        await asyncio.sleep(0)
        closed.append("closed")


def of(result: object) -> Streamed:
    found = streamed(result)
    assert found is not None
    return found


@pytest.mark.parametrize("result", [[1], "text", {"a": 1}, range(3), None, (1,)])
def test_a_whole_result_is_not_streamed(result: object) -> None:
    assert streamed(result) is None


@pytest.mark.parametrize("result", [iter([1]), map(str, [1]), (n for n in [1])])
def test_every_iterator_is(result: object) -> None:
    assert len(list(of(result))) == 1


def test_every_piece_is_one_line_of_json() -> None:
    closed: list[str] = []
    assert list(of(pieces(closed))) == ["1", '{"a":null}']
    assert closed == ["closed"]


def test_who_takes_no_stream_gets_one_list() -> None:
    assert of(pieces([])).all() == [1, {"a": pytest.approx(float("nan"), nan_ok=True)}]


def test_a_function_that_is_left_half_way_ends_properly() -> None:
    closed: list[str] = []
    stream = of(pieces(closed))
    next(iter(stream))
    stream.close()
    assert closed == ["closed"]


def test_a_piece_that_json_cannot_hold_is_named_by_its_number() -> None:
    with pytest.raises(NotJson, match=r"^result\[1\]\['a'\] is of type object$"):
        list(of(iter([1, {"a": object()}])))


def test_an_async_generator_is_awaited_piece_by_piece() -> None:
    closed: list[str] = []
    with asyncio.Runner() as runner:
        stream = streamed(later(closed), runner.run)
        assert stream is not None
        assert list(stream) == ["1", "2"]
    assert closed == ["closed"]


def test_an_async_generator_that_is_left_half_way_ends_properly() -> None:
    closed: list[str] = []
    with asyncio.Runner() as runner:
        stream = streamed(later(closed), runner.run)
        assert stream is not None
        next(iter(stream))
        stream.close()
    assert closed == ["closed"]
