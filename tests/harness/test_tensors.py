"""Tensors: every datatype, as JSON, as bytes, as lists and as NumPy's arrays."""

from __future__ import annotations

import struct
from contextlib import suppress
from math import isfinite, prod
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness.inference.results import of_array, of_lists, tensors_of
from modelway_harness.inference.tensors import (
    DATATYPES,
    NoTensor,
    Tensor,
    datatype_of,
    from_binary,
    from_json,
    shape_of,
)

WHOLE = {f"INT{n}": (-(1 << n - 1), (1 << n - 1) - 1) for n in (8, 16, 32, 64)}
WHOLE |= {f"UINT{n}": (0, (1 << n) - 1) for n in (8, 16, 32, 64)}


def values(datatype: str) -> st.SearchStrategy[Any]:
    if datatype in WHOLE:
        return st.integers(*WHOLE[datatype])
    if datatype == "BOOL":
        return st.booleans()
    if datatype == "BYTES":
        return st.text(max_size=6)
    width = {"FP16": 16, "FP32": 32, "FP64": 64}[datatype]
    return st.floats(width=width, allow_nan=False, allow_infinity=False)  # type: ignore[arg-type]


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, tuple[int, ...], list[Any]]:
    datatype = draw(st.sampled_from(DATATYPES))
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    flat = draw(st.lists(values(datatype), min_size=prod(shape), max_size=prod(shape)))
    return datatype, shape, flat


def nested(shape: tuple[int, ...], flat: list[Any]) -> Any:
    """Independently of the code: the value at each place."""
    if not shape:
        return flat[0]
    step = prod(shape[1:])
    return [nested(shape[1:], flat[at * step : (at + 1) * step]) for at in range(shape[0])]


@given(documents())
def test_what_comes_as_json_goes_back_as_json_flat_or_nested(document: tuple[str, tuple[int, ...], list[Any]]) -> None:
    datatype, shape, flat = document
    tensor = from_json(datatype, shape, flat)
    assert tensor.json() == flat
    assert tensor.lists() == nested(shape, flat)
    assert from_json(datatype, shape, nested(shape, flat)) == tensor


@given(documents())
def test_what_goes_out_as_bytes_comes_back_the_same(document: tuple[str, tuple[int, ...], list[Any]]) -> None:
    tensor = from_json(*document)
    assert from_binary(tensor.datatype, tensor.shape, tensor.binary()) == tensor


@given(documents())
def test_an_array_and_back_is_the_same_tensor(document: tuple[str, tuple[int, ...], list[Any]]) -> None:
    tensor = from_json(*document)
    array = tensor.array(numpy)
    assert array.shape == tensor.shape
    assert array.tolist() == tensor.lists()
    assert array.flags.writeable
    if array.dtype.kind != "O":
        assert of_array(numpy, array) == tensor


@given(documents())
def test_the_bytes_are_those_that_numpy_has_of_it(document: tuple[str, tuple[int, ...], list[Any]]) -> None:
    tensor = from_json(*document)
    if tensor.datatype != "BYTES":
        assert tensor.binary() == tensor.array(numpy).tobytes()


@given(documents().filter(lambda document: document[0] in ("BOOL", "INT64", "FP64", "BYTES") and prod(document[1]) > 0))
def test_lists_tell_their_datatype_and_shape(document: tuple[str, tuple[int, ...], list[Any]]) -> None:
    datatype, shape, flat = document
    tensor = of_lists(nested(shape, flat))
    assert (tensor.datatype, tensor.shape) == (datatype, shape or (1,))
    assert tensor.json() == flat


@given(st.binary(max_size=40), st.sampled_from(DATATYPES), st.lists(st.integers(0, 5), max_size=3))
def test_any_bytes_are_a_tensor_or_are_refused_in_words(data: bytes, datatype: str, shape: list[int]) -> None:
    with suppress(NoTensor):
        assert len(from_binary(datatype, tuple(shape), data).binary()) == len(data)


def test_bytes_have_their_length_before_each() -> None:
    tensor = from_json("BYTES", (2,), ["ab", "é"])
    assert tensor.binary() == struct.pack("<I", 2) + b"ab" + struct.pack("<I", 2) + "é".encode()


def test_what_is_not_finite_is_null_in_json_and_itself_in_bytes() -> None:
    tensor = of_array(numpy, numpy.array([1.0, float("inf"), float("nan")], "f4"))
    assert tensor.json() == [1.0, None, None]
    back = from_binary("FP32", (3,), tensor.binary()).array(numpy)
    assert [isfinite(value) for value in back.tolist()] == [True, False, False]
    assert str(from_json("FP32", (2,), [1, None]).json()) == "[1.0, None]"


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert from_json("INT8", (2,), [1, 2.0]).json() == [1, 2]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "why"),
    [
        ("INT8", (1,), [128], "holds numbers that INT8 cannot"),
        ("UINT8", (1,), [-1], "holds numbers that UINT8 cannot"),
        ("FP32", (1,), [1e39], "holds numbers that FP32 cannot"),
        ("FP16", (1,), [10**400], "holds numbers that FP16 cannot"),
        ("INT32", (1,), [1.5], "holds a number, which INT32 has not"),
        ("INT64", (1,), [1e300], "holds a number, which INT64 has not"),
        ("INT32", (1,), [True], "holds a boolean, which INT32 has not"),
        ("BOOL", (1,), [1], "holds a number, which BOOL has not"),
        ("FP64", (1,), ["1"], "holds text, which FP64 has not"),
        ("BYTES", (1,), [None], "holds null, which BYTES has not"),
        ("FP64", (2,), [1], "has 1 value, where its shape [2] wants 2"),
        ("FP64", (2,), 1, 'must have "data", a list, not a number'),
        ("FP64", (2, 2), [[1, 2], [3]], "is nested unlike its shape [2, 2]"),
        ("FP64", (2, 2), [[1, 2], 3], "is nested unlike its shape [2, 2]"),
        ("FP64", (2,), [[1, 2]], "has 1 row, where its shape is [2]"),
        ("FP64", (1,), [[1]], "is nested more deeply than its shape [1]"),
        ("FP64", (), [[1]], "has 1 row, where its shape is []"),
    ],
)
def test_data_that_are_not_of_the_datatype_and_shape_are_refused(
    datatype: str, shape: tuple[int, ...], data: object, why: str
) -> None:
    with pytest.raises(NoTensor) as refused:
        from_json(datatype, shape, data)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (None, 'must have a "shape"'),
        ([-1], 'must have a "shape"'),
        ([True], 'must have a "shape"'),
        ([1.0], 'must have a "shape"'),
        ([10**4000], 'must have a "shape"'),
        ([1] * 33, "has 33 dimensions"),
        ([10**9, 0], "has no elements in a shape that is too large"),
    ],
)
def test_a_shape_that_is_none_is_refused(shape: object, why: str) -> None:
    with pytest.raises(NoTensor) as refused:
        shape_of(shape)
    assert why in str(refused.value)


@pytest.mark.parametrize(("datatype", "why"), [("BF16", "send FP32"), ("FP8", "one of BOOL"), (None, "one of BOOL")])
def test_a_datatype_that_is_none_is_refused(datatype: object, why: str) -> None:
    with pytest.raises(NoTensor) as refused:
        datatype_of(datatype)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (numpy.array([1, 2], ">i4"), "INT32"),
        (numpy.arange(6).reshape(2, 3).T, "INT64"),
        (numpy.array([[1.5, 2.5]], "f2")[:, ::-1], "FP16"),
        (numpy.array([1.5], numpy.longdouble), "FP64"),
        (numpy.array(["a", "bc"]), "BYTES"),
        (numpy.array([b"a"]), "BYTES"),
    ],
)
def test_an_array_of_any_order_and_stride_is_written_row_by_row(array: Any, datatype: str) -> None:
    tensor = of_array(numpy, array)
    assert tensor.datatype == datatype
    assert tensor.lists() == [each.decode() if isinstance(each, bytes) else each for each in array.tolist()]


@pytest.mark.parametrize("value", [[1, "a"], [[1], [2, 3]], [1 + 2j], {"a": 1}, [{}], [2**70], [True, 1], [[1], 2]])
def test_lists_that_are_no_tensor_are_refused(value: object) -> None:
    with pytest.raises(NoTensor):
        of_lists(value)


def test_whole_numbers_past_what_is_signed_are_unsigned() -> None:
    assert of_lists([2**63]).datatype == "UINT64"


def test_bytes_that_are_no_text_are_refused_as_text_only() -> None:
    tensor = Tensor("BYTES", (1,), [b"\xff\xfe"])
    assert tensor.binary() == struct.pack("<I", 2) + b"\xff\xfe"
    with pytest.raises(NoTensor, match="no UTF-8"):
        tensor.json()


def test_what_a_masked_array_hides_is_not_sent() -> None:
    masked = numpy.ma.array([1.5, 2.5], mask=[True, False])
    (given,) = tensors_of(masked).values()
    assert numpy.array_equal(given.array(numpy), [numpy.nan, 2.5], equal_nan=True)
    (given,) = tensors_of(numpy.ma.array([1, 2])).values()
    assert (given.datatype, given.lists()) == ("INT64", [1, 2])
