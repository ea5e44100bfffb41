"""How a result becomes JSON."""

from __future__ import annotations

import enum
import json
import math
from array import array
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness.encoding import NotJson, encode


class Scalar:
    """Looks like one of NumPy's scalars."""

    def __init__(self, held: object) -> None:
        self._held = held

    def item(self) -> object:
        return self._held


class Array:
    """Looks like one of NumPy's arrays."""

    def __init__(self, *held: object) -> None:
        self._held = held

    def tolist(self) -> list[object]:
        return list(self._held)


class Stubborn:
    """Offers a plain value that is no plainer."""

    def item(self) -> Stubborn:
        return self


class Broken:
    def tolist(self) -> object:
        raise RuntimeError("the tensor is on another device")


def decoded(result: object) -> object:
    return json.loads(encode(result), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def refusal(result: object) -> str:
    with pytest.raises(NotJson) as refused:
        encode(result)
    return str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
RESULTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(Scalar, st.floats()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.floats(), inner, max_size=4)
        | st.builds(Array, inner, inner)
        | st.frozensets(st.integers(), max_size=2)
    ),
    max_leaves=20,
)


@given(JSON)
def test_plain_types_come_back_as_they_were(result: Any) -> None:
    assert decoded(result) == result


@given(RESULTS)
def test_every_result_becomes_json_or_one_message_that_names_the_place(result: object) -> None:
    try:
        decoded(result)
    except NotJson as refused:
        assert str(refused).startswith("result")  # noqa: PT017  # one of two right outcomes


def test_tuples_become_lists() -> None:
    assert decoded({"box": (1, (2, 3))}) == {"box": [1, [2, 3]]}


def test_nan_and_the_infinities_become_null() -> None:
    assert decoded([float("nan"), float("inf"), {"low": -float("inf")}, 1.5]) == [None, None, {"low": None}, 1.5]


def test_scalars_and_arrays_give_their_plain_values() -> None:
    assert decoded({"a": Array(Scalar(1), Array(2.5, Scalar(float("nan"))))}) == {"a": [1, [2.5, None]]}


def test_keys_that_json_knows_as_text_are_taken() -> None:
    assert decoded({2: "a", None: "b", True: "c", Scalar(7): Scalar(8)}) == {"2": "a", "null": "b", "true": "c", "7": 8}


def test_numpy_itself_is_taken() -> None:
    numpy = pytest.importorskip("numpy")
    result = {"class": numpy.int64(2), "p": numpy.array([[0.25, numpy.nan]]), numpy.int32(5): numpy.bool_(True)}
    assert decoded(result) == {"class": 2, "p": [[0.25, None]], "5": True}


def test_numpy_values_without_a_plain_form_are_refused() -> None:
    numpy = pytest.importorskip("numpy")
    assert refusal([numpy.longdouble(1)]) == "result[0] is of type numpy.longdouble"
    assert refusal(numpy.array([1j])) == "result[0] is of type complex"


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Row:
    when: datetime
    score: float = math.nan


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (Row(datetime(2026, 1, 2, tzinfo=UTC)), {"when": "2026-01-02T00:00:00+00:00", "score": None}),
        ([Point(1, 2)], [[1, 2]]),
        ({Colour.RED: Colour.RED}, {"red": "red"}),
        ({date(2026, 1, 2): time(3, 4)}, {"2026-01-02": "03:04:00"}),
        (timedelta(minutes=1, milliseconds=500), 60.5),
        ([Decimal("0.10"), Decimal("NaN")], ["0.10", None]),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([b"hi", bytearray(b"hi"), memoryview(b"hi")], ["aGk=", "aGk=", "aGk="]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({1}), [1]),
        (Path("a/b"), "a/b"),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        ({"a": 1}.keys(), ["a"]),
        ({"a": 1}.values(), [1]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (array("d", [1, math.inf]), [1.0, None]),
        ("\ud800", "\ud800"),
    ],
)
def test_what_json_has_no_type_for_has_something_that_stands_for_it(result: object, expected: object) -> None:
    assert decoded(result) == expected


def test_sets_that_cannot_be_sorted_keep_what_is_in_them() -> None:
    result = decoded({1, "a"})
    assert isinstance(result, list)
    assert len(result) == 2


def test_a_generator_as_the_whole_result_becomes_a_list() -> None:
    assert decoded(n / 2 for n in range(2)) == [0.0, 0.5]
    assert refusal(iter([1, object()])) == "result[1] is of type object"


def test_what_a_generator_raises_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError):
        encode(1 / n for n in (1, 0))


def test_a_generator_inside_a_result_is_refused() -> None:
    assert refusal({"rows": iter([1])}) == ("result['rows'] is of type list_iterator, which only a whole result can be")


def test_a_dataclass_that_contains_itself_is_refused() -> None:
    row = Row(datetime(2026, 1, 2, tzinfo=UTC))
    row.score = [row]  # type: ignore[assignment]
    assert refusal(row) == "result['score'][0] contains itself"


def test_what_json_cannot_hold_is_named_with_its_place() -> None:
    held = {"rows": [{"when": object()}]}
    assert refusal(held) == "result['rows'][0]['when'] is of type object"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (complex(1, 2), "result is of type complex"),
        (object, "result is of type type"),
        ([Stubborn()], "result[0] is of type tests.harness.test_encoding.Stubborn"),
        ({"a": {(1, 2): 3}}, "result['a'] has a key of type tuple"),
        ({float("nan"): 3}, "result has the key nan"),
    ],
)
def test_other_types_are_refused(result: object, message: str) -> None:
    assert refusal(result) == message


def test_a_value_that_fails_to_become_plain_says_why() -> None:
    message = refusal({"t": Broken()})
    assert message.startswith("result['t'], of type")
    assert message.endswith("failed at tolist(): RuntimeError: the tensor is on another device")


def test_a_result_that_contains_itself_is_refused() -> None:
    result: dict[str, object] = {}
    result["me"] = [result]
    assert refusal(result) == "result['me'][0] contains itself"


def test_the_same_value_twice_is_no_cycle() -> None:
    twice = [float("nan")]
    assert decoded([twice, twice]) == [[None], [None]]


def test_a_result_that_is_nested_too_deeply_is_refused() -> None:
    result: list[object] = []
    for _ in range(100_000):
        result = [result]
    assert refusal(result) == "result is nested too deeply"


def test_an_integer_that_python_will_not_write_is_refused() -> None:
    assert refusal(10**5000) == "result has more than 4300 digits"
    assert refusal({"a": [10**5000]}) == "result['a'][0] has more than 4300 digits"
    assert refusal([{10**5000: 1}]) == "a key of result[0] has more than 4300 digits"
    assert decoded([10**4299, 10**30, 2**64]) == [10**4299, 10**30, 2**64]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({1: 2, "1": 3}, "result has the keys 1 and '1'"),
        ([{"a": ({"null": 1, None: 2},)}], "result[0]['a'][0] has the keys 'null' and None"),
        ({"rows": [[1], [{True: 1, "true": float("nan")}]]}, "result['rows'][1][0] has the keys True and 'true'"),
        (MappingProxyType({1.5: 2, "1.5": 3}), "result has the keys 1.5 and '1.5'"),
        ({date(2026, 1, 2): 1, "2026-01-02": 2}, "result has the keys datetime.date(2026, 1, 2) and '2026-01-02'"),
    ],
)
def test_two_keys_that_json_would_write_alike_are_refused(result: object, told: str) -> None:
    assert refusal(result) == f"{told}, which are the same in JSON"


def test_keys_that_only_look_alike_are_kept() -> None:
    assert decoded({1: 1, "01": 2, None: 3, "x": 4, 1.5: 5}) == {"1": 1, "01": 2, "null": 3, "x": 4, "1.5": 5}
