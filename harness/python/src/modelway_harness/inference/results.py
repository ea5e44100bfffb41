"""This file is how what the function returned becomes tensors. NumPy and others are used where the script has them."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ..encoding import NotJson, encode
from .tensors import BYTES, MOST_DIMENSIONS, OF_ARRAYS, NoTensor, Tensor, as_bytes, packed

_KINDS = "biufUS"  # NumPy's kinds that are datatypes

_NATURAL = {"BOOL": {bool}, "INT64": {int}, "FP64": {int, float, type(None)}, BYTES: {str, bytes}}


class NotTensors(NotJson):
    """The result holds something that no tensor can; the text names the place in the result."""

    holder = "a tensor"


def tensors_of(result: Any) -> dict[str, Tensor]:
    """The outputs by name: a mapping's, a record's and a table's own, `output_0` … of a tuple, else `output`.

    Raises NotJson.
    """
    return {name: _tensor(value, place) for name, (value, place) in _parts(result).items()}


def _parts(result: Any) -> dict[str, tuple[Any, str]]:
    if isinstance(result, tuple) and not hasattr(result, "_fields"):
        return {f"output_{at}": (each, f"result[{at}]") for at, each in enumerate(result)}
    named = _named(result)
    if named is None:
        return {"output": (result, "result")}
    return {str(name): (value, f"result[{name!r}]") for name, value in named.items()}


def _named(result: Any) -> Mapping[Any, Any] | None:
    if isinstance(result, Mapping):
        return result
    if isinstance(result, tuple):
        return dict(zip(result._fields, result, strict=True))  # type: ignore[attr-defined]  # a NamedTuple
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    table = getattr(sys.modules.get("pandas"), "DataFrame", None)
    if isinstance(table, type) and isinstance(result, table):
        return {name: result.iloc[:, at] for at, name in enumerate(result.columns.tolist())}  # type: ignore[attr-defined]
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return dict(result) if isinstance(model, type) and isinstance(result, model) else None  # type: ignore[call-overload]


def _tensor(value: Any, place: str) -> Tensor:
    if value is None:
        raise NotTensors(f"{place} is None")
    try:
        array = _array(value)
        if array is not None:
            return array
        if isinstance(value, list | tuple | bool | int | float | str | bytes):
            return of_lists(value)
    except NoTensor:
        pass  # what JSON has for it may do
    try:
        return of_lists(json.loads(encode(value, place)))
    except NoTensor as error:
        raise NotTensors(f"{place} {error}") from error
    except NotJson as error:
        raise NotTensors(str(error)) from error


def _array(value: Any) -> Tensor | None:
    """The tensor of an array, or of what NumPy makes an array of at once; None for anything else."""
    numpy: Any = sys.modules.get("numpy")
    if not hasattr(type(value), "__array__") or not hasattr(numpy, "asarray"):
        return None
    try:
        array = numpy.asarray(value)
    except Exception:  # of another library: some arrays have to be asked otherwise
        return None
    if array.dtype.kind not in _KINDS or (numpy.ma.isMaskedArray(value) and numpy.ma.is_masked(value)):
        return None
    return of_array(numpy, array if array.shape else array.reshape(1))


def of_array(numpy: Any, array: Any) -> Tensor:
    """The tensor of a NumPy array. Raises NoTensor where it holds what no datatype has."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and size > 8:
        array, size = array.astype("f8"), 8
    if f"{kind}{size}" in OF_ARRAYS:
        name = f"{kind}{size}"
        return Tensor(OF_ARRAYS[name], array.shape, numpy.ascontiguousarray(array, dtype=f"<{name}").tobytes())
    if kind in "US":
        return Tensor(BYTES, array.shape, [as_bytes(each) for each in array.ravel().tolist()])
    raise NoTensor(f"is an array of {array.dtype}")


def of_lists(value: object) -> Tensor:
    """The tensor of nested lists of numbers, of true and false, of text or of bytes; a single one has the shape [1].

    Raises NoTensor.

    >>> of_lists([[1, 2.5]]).datatype, of_lists(True).shape
    ('FP64', (1,))
    """
    level: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
    shape = [len(level)]
    while level and all(isinstance(each, list | tuple) for each in level) and len(shape) < MOST_DIMENSIONS:
        if len(set(map(len, level))) > 1:
            raise NoTensor("holds lists of different lengths")
        shape.append(len(level[0]))
        level = list(chain.from_iterable(level))
    datatype = _natural(level)
    if datatype == BYTES:
        return Tensor(BYTES, tuple(shape), [as_bytes(each) for each in level])
    return Tensor(datatype, tuple(shape), packed(datatype, level))


def _natural(flat: list[Any]) -> str:
    kinds = set(map(type, flat))
    for datatype, among in (
        ("BOOL", {bool}),
        ("INT64", {int}),
        ("FP64", {int, float, type(None)}),
        (BYTES, {str, bytes}),
    ):
        if kinds and kinds <= among:
            return "UINT64" if datatype == "INT64" and max(flat) >= 1 << 63 else datatype
    if not kinds:
        return "FP64"
    if kinds <= {str, bytes, type(None)}:
        raise NoTensor("holds text and null, and BYTES have no null")
    raise NoTensor("holds values of several kinds, or of one that no datatype has")
