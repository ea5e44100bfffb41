"""How a result becomes JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

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


def test_what_json_cannot_hold_is_named_with_its_place() -> None:
    held = {"rows": [{"when": datetime(2026, 1, 1, tzinfo=UTC)}]}
    assert refusal(held) == "result['rows'][0]['when'] is of type datetime.datetime"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({1, 2}, "result is of type set"),
        (b"bytes", "result is of type bytes"),
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
    assert refusal(10**5000).startswith("result cannot be written as JSON: ValueError: Exceeds the limit")
