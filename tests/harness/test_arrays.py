"""NumPy's arrays and scalars, as arguments and as results."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelway_harness.binding import Binding, DoesNotFit
from modelway_harness.encoding import NotJson, encode

numpy = pytest.importorskip("numpy")
npt = pytest.importorskip("numpy.typing")


def made(annotation: Any, value: Any) -> Any:
    def predict(x: Any) -> Any: ...

    predict.__annotations__["x"] = annotation
    named = Binding("predict", predict).bind({"data": {"x": value}}).named
    assert named is not None
    return named["x"]


def refusal(annotation: Any, value: Any) -> str:
    with pytest.raises(DoesNotFit) as refused:
        made(annotation, value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("annotation", "value", "dtype", "expected"),
    [
        (numpy.ndarray, [[1, 2], [3, 4]], "int64", [[1, 2], [3, 4]]),
        (numpy.ndarray, [1, 2.5], "float64", [1.0, 2.5]),
        (numpy.ndarray, [], "float64", []),
        (numpy.ndarray, [True, False], "bool", [True, False]),
        (numpy.ndarray, ["a", "bc"], "<U2", ["a", "bc"]),
        (npt.NDArray[numpy.float64], [1, 2], "float64", [1.0, 2.0]),
        (npt.NDArray[numpy.float32], [0.1], "float32", [0.10000000149011612]),
        (npt.NDArray[numpy.int8], [1.0, 2], "int8", [1, 2]),
        (npt.NDArray[numpy.datetime64], ["2026-01-02"], "datetime64[D]", None),
        (npt.NDArray[Any], [1], "int64", [1]),
        (numpy.float32, 1, "float32", 1.0),
        (numpy.int16, 5.0, "int16", 5),
        (numpy.bool_, True, "bool", True),
    ],
)
def test_nested_lists_become_arrays(annotation: Any, value: Any, dtype: str, expected: Any) -> None:
    array = made(annotation, value)
    assert array.dtype == numpy.dtype(dtype)
    assert expected is None or array.tolist() == expected


def test_null_among_numbers_is_nan() -> None:
    array = made(numpy.ndarray, [[1, None], [2.5, 3]])
    assert array.dtype == float
    assert numpy.isnan(array[0, 1])


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (numpy.ndarray, 3, "data.x must be a list, not 3"),
        (numpy.ndarray, [[1, 2], [3]], "data.x[1] must be a list of 2 values as the first is, not of 1"),
        (numpy.ndarray, [[[1], [2, 3]]], "data.x[0][1] must be a list of 1 values as the first is, not of 2"),
        (numpy.ndarray, [[1], 2], "data.x[1] must be a list, not 2"),
        (numpy.ndarray, [1, [2]], "data.x[1] must be a single value as the first is, not a list"),
        (numpy.ndarray, [[1, 2], [3, "4"]], "data.x[1][1] must be a number, not text"),
        (numpy.ndarray, [True, 2], "data.x[1] must be true or false, not 2"),
        (numpy.ndarray, [{}], "data.x[0] must be a number, not an object"),
        (numpy.ndarray, [10**30], "data.x holds whole numbers that are too large for an array"),
        (numpy.ndarray, [2**63, -1], "data.x holds whole numbers that are too large for an array"),
        (npt.NDArray[numpy.float64], ["a"], "data.x[0] must be a number, not text"),
        (npt.NDArray[numpy.int64], [1.5], "data.x[0] is 1.5, which int64 cannot hold"),
        (npt.NDArray[numpy.int64], [[1, 2], [3, None]], "data.x[1][1] is null or NaN, which int64 cannot hold"),
        (npt.NDArray[numpy.int8], [1, 300], "data.x[1] is 300, which int8 cannot hold"),
        (npt.NDArray[numpy.float32], [[0.5, 1e300]], "data.x[0][1] is 1e+300, which float32 cannot hold"),
        (npt.NDArray[numpy.bool_], [1], "data.x[0] must be true or false, not 1"),
        (npt.NDArray[numpy.str_], [1], "data.x[0] must be text, not 1"),
        (numpy.int8, 300, "data.x is too large for int8"),
    ],
)
def test_what_is_no_array_of_that_kind_is_refused_with_its_place(annotation: Any, value: Any, message: str) -> None:
    assert refusal(annotation, value) == message


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (numpy.array([[0.25, numpy.nan], [numpy.inf, 1]]), [[0.25, None], [None, 1.0]]),
        (numpy.float32("nan"), None),
        (numpy.array(2.5), 2.5),
        (numpy.array(["2026-01-02T03:04:05", "NaT"], dtype="datetime64[ns]"), ["2026-01-02T03:04:05.000000000", None]),
        (numpy.datetime64("2026-01-02"), "2026-01-02"),
        (numpy.timedelta64(1500, "ms"), 1.5),
        (numpy.array([b"hi"]), ["aGk="]),
        (numpy.array([{"a": numpy.int8(1)}]), [{"a": 1}]),
        ({"m": numpy.arange(6).reshape(2, 3)[:, ::2]}, {"m": [[0, 2], [3, 5]]}),
        (numpy.zeros((2, 0)), [[], []]),
        (numpy.ma.array([1, 2], mask=[True, False]), [None, 2]),
        (numpy.ma.array([[0.5, 1.5], [numpy.nan, 2]], mask=[[0, 1], [0, 0]]), [[0.5, None], [None, 2.0]]),
        (numpy.ma.array([1, 2], dtype="timedelta64[s]", mask=[False, True]), [1.0, None]),
        ([numpy.ma.masked], [None]),
    ],
)
def test_arrays_and_scalars_become_lists_and_values(result: Any, expected: Any) -> None:
    assert json.loads(encode(result)) == expected


def test_an_array_comes_back_as_the_array_it_was() -> None:
    array = numpy.linspace(-1e10, 1e10, 60).reshape(3, 4, 5)
    assert (made(npt.NDArray[numpy.float64], json.loads(encode(array))) == array).all()


def test_an_array_that_json_cannot_hold_is_named_with_its_place() -> None:
    with pytest.raises(NotJson, match=r"^result\['a'\]\[0\] is of type complex$"):
        encode({"a": numpy.array([1j])})
