"""This file is a tensor of the Open Inference Protocol: its data as JSON and as bytes, as arrays and lists.

Whatever it came as, a tensor's numbers are kept as the protocol's bytes: little-endian, row by row, without gaps. NumPy
is used where the script has imported it, never else.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite, prod
from typing import Any

from ..forms import EXACT_FLOATS
from ..wording import counted, json_kind

MOST_DIMENSIONS = 32
MOST_EMPTY = 65536  # places for elements that a tensor without any may have: its lists are made all the same
BYTES, BOOL = "BYTES", "BOOL"
_CODES = {  # of the `struct` module
    "BOOL": "?",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}
OF_ARRAYS = {  # NumPy's names, without the byte order
    "b1": "BOOL",
    **{f"i{1 << n}": f"INT{8 << n}" for n in range(4)},
    **{f"u{1 << n}": f"UINT{8 << n}" for n in range(4)},
    **{f"f{2 << n}": f"FP{16 << n}" for n in range(3)},
}
_TO_ARRAYS = {datatype: f"<{name}" for name, datatype in OF_ARRAYS.items()}
DATATYPES = (*_CODES, BYTES)


class NoTensor(Exception):
    """It is no tensor; the text follows the tensor's name."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Elements in rows. `data` is the elements' bytes; of BYTES it is the elements."""

    datatype: str
    shape: tuple[int, ...]
    data: bytes | list[bytes]

    def json(self) -> list[Any]:
        """Its elements in one list, as JSON has them; not finite is null. Raises NoTensor where they are no text.

        >>> Tensor("FP32", (1, 2), struct.pack("<2f", 0.5, float("nan"))).json()
        [0.5, None]
        """
        if self.datatype == BYTES:
            return self._texts()
        values = self._numbers()
        if self.datatype.startswith("FP") and not all(map(isfinite, values)):
            return [value if isfinite(value) else None for value in values]
        return values

    def binary(self) -> bytes:
        """Its elements as the binary extension has them."""
        if isinstance(self.data, bytes):
            return self.data
        return b"".join(chain.from_iterable((struct.pack("<I", len(each)), each) for each in self.data))

    def lists(self) -> Any:
        """Nested lists of its elements, BYTES being text; without a dimension the element alone."""
        return self._nested(self._texts() if self.datatype == BYTES else self._numbers())

    def column(self) -> list[Any]:
        """Its elements as one column of a table. Raises NoTensor where a row has several."""
        if prod(self.shape[1:]) != 1 or not self.shape:
            raise NoTensor(f"must have one value a row, not the shape {list(self.shape)}")
        flat: list[Any] = Tensor(self.datatype, self.shape[:1], self.data).lists()
        return flat

    def array(self, numpy: Any) -> Any:
        """A NumPy array that may be written to; BYTES are text. Raises NoTensor."""
        try:
            if self.datatype == BYTES:
                return _text_array(numpy, self._texts()).reshape(self.shape)
            flat = numpy.frombuffer(bytearray(self.data), dtype=_TO_ARRAYS[self.datatype])  # type: ignore[arg-type]
            return flat.reshape(self.shape)
        except ValueError as error:
            raise NoTensor(f"cannot be an array: {error}") from error

    def _numbers(self) -> list[Any]:
        assert isinstance(self.data, bytes)  # noqa: S101 - for the type checker
        return list(struct.unpack(f"<{prod(self.shape)}{_CODES[self.datatype]}", self.data))

    def _texts(self) -> list[str]:
        try:
            return [each.decode("utf-8", "surrogatepass") for each in self.data]  # type: ignore[union-attr]  # a list
        except UnicodeDecodeError:
            raise NoTensor("holds bytes that are no UTF-8 text") from None

    def _nested(self, flat: list[Any]) -> Any:
        if not self.shape:
            return flat[0]
        for size in self.shape[:0:-1]:
            flat = _rows(flat, size, prod(self.shape))
        return flat if prod(self.shape) or len(self.shape) == 1 else _empty(self.shape)


def _text_array(numpy: Any, texts: list[str]) -> Any:
    """NumPy's own texts lose zeros at their end; such ones are kept as Python's."""
    return numpy.array(texts, dtype=object if any(each.endswith("\0") for each in texts) else str)


def _rows(flat: list[Any], size: int, count: int) -> list[Any]:
    return [flat[at : at + size] for at in range(0, len(flat), size)] if count else []


def _empty(shape: Sequence[int]) -> list[Any]:
    return [_empty(shape[1:]) for _ in range(shape[0])] if len(shape) > 1 else []


def shape_of(given: object) -> tuple[int, ...]:
    """The shape that a document gives. Raises NoTensor."""
    if not isinstance(given, list) or not all(type(size) is int and 0 <= size < 1 << 63 for size in given):
        raise NoTensor('must have a "shape", a list of whole numbers from 0 on')
    if len(given) > MOST_DIMENSIONS:
        raise NoTensor(f"has {len(given)} dimensions; at most {MOST_DIMENSIONS} are taken")
    if 0 in given and prod(size for size in given if size) > MOST_EMPTY:
        raise NoTensor("has no elements in a shape that is too large")
    return tuple(given)


def datatype_of(given: object) -> str:
    """The datatype that a document gives. Raises NoTensor."""
    if given == "BF16":
        raise NoTensor("has the datatype BF16, which neither Python nor NumPy has numbers of: send FP32")
    if not isinstance(given, str) or given not in DATATYPES:
        raise NoTensor(f'must have a "datatype", one of {", ".join(DATATYPES)}')
    return given


def from_json(datatype: str, shape: tuple[int, ...], data: object) -> Tensor:
    """The tensor of elements that are JSON, flat or nested as the shape says. Raises NoTensor."""
    flat = _flat(data, shape)
    if len(flat) != prod(shape):
        raise NoTensor(f"has {counted(len(flat), 'value')}, where its shape {list(shape)} wants {prod(shape)}")
    return Tensor(datatype, shape, packed(datatype, flat))


def from_binary(datatype: str, shape: tuple[int, ...], data: bytes) -> Tensor:
    """The tensor of elements as the binary extension has them. Raises NoTensor."""
    count = prod(shape)
    if datatype == BYTES:
        return Tensor(datatype, shape, _elements(data, count))
    size = count * struct.calcsize(f"<{_CODES[datatype]}")
    if len(data) != size:
        raise NoTensor(f"has {counted(len(data), 'byte')}, where {datatype} in the shape {list(shape)} has {size}")
    return Tensor(datatype, shape, data if datatype != BOOL else bytes(map(bool, data)))


def _elements(data: bytes, count: int) -> list[bytes]:
    """The elements of BYTES, each behind its length in four bytes."""
    elements: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<I", data, at) if at + 4 <= len(data) else (len(data),)
        at += 4 + length
        if at > len(data):
            raise NoTensor("ends in the middle of an element")
        elements.append(data[at - length : at])
    if len(elements) != count:
        raise NoTensor(f"has {counted(len(elements), 'element')}, where its shape wants {count}")
    return elements


def _flat(data: object, shape: tuple[int, ...]) -> list[Any]:
    """Its values in one list: nested lists as the shape says, or one list already, or a single value."""
    if type(data) is not list:
        if shape and prod(shape) != 1:
            raise NoTensor(f'must have "data", a list, not {json_kind(data)}')
        return [data]
    if list not in map(type, data):
        return data
    if len(data) != (shape or (None,))[0]:
        raise NoTensor(f"has {counted(len(data), 'row')}, where its shape is {list(shape)}")
    for size in shape[1:]:
        if not all(type(row) is list and len(row) == size for row in data):
            raise NoTensor(f"is nested unlike its shape {list(shape)}; a single list of all values will do as well")
        data = list(chain.from_iterable(data))
    if list in map(type, data):
        raise NoTensor(f"is nested more deeply than its shape {list(shape)} says")
    return data


def packed(datatype: str, flat: list[Any]) -> bytes | list[bytes]:
    """The data of a tensor of these elements. Raises NoTensor."""
    kinds = set(map(type, flat))
    wants = _KINDS.get(datatype[:2], {int})
    if not kinds <= wants:
        if wants == {int} and all(map(_is_whole, flat)):
            return packed(datatype, [int(value) for value in flat])
        wrong = next(value for value in flat if type(value) not in wants)
        raise NoTensor(f"holds {json_kind(wrong)}, which {datatype} has not")
    if datatype == BYTES:
        return [as_bytes(value) for value in flat]
    numbers = [float("nan") if value is None else value for value in flat] if type(None) in kinds else flat
    try:
        return struct.pack(f"<{len(numbers)}{_CODES[datatype]}", *numbers)
    except (struct.error, OverflowError):
        raise NoTensor(f"holds numbers that {datatype} cannot") from None


def _is_whole(value: object) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer() and abs(value) <= EXACT_FLOATS)


def as_bytes(element: str | bytes) -> bytes:
    """One element of BYTES."""
    return element if isinstance(element, bytes) else element.encode("utf-8", "surrogatepass")


_KINDS: dict[str, set[type]] = {"BY": {str}, "BO": {bool}, "FP": {int, float, type(None)}}
