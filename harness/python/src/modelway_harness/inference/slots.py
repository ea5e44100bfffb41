"""This file is what of a function's parameters and result a tensor can stand for, as far as the annotations say.

The arguments themselves are converted by their annotations (annotations.py) as those of any call; here is only decided
what they are given: an array, nested lists, or a single value.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import sys
import types
import typing
from collections import abc
from collections.abc import Callable, Mapping
from datetime import timedelta
from inspect import Parameter, signature
from math import prod
from typing import Any, NamedTuple

from ..annotations import Forms, annotations_of, hints_of
from ..arrays import dtype_of
from ..leaves import LEAVES
from ..whole import TakesWhole
from ..wording import quoted
from .request import Request
from .tensors import BYTES, DATATYPES, NoTensor, Tensor

_SINGLE = {float: "FP64", int: "INT64", bool: "BOOL", str: BYTES, bytes: BYTES, bytearray: BYTES, timedelta: "FP64"}
# What the protocol and its clients mean by parameters of these names is not for the function.
RESERVED = {"sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"}
_SEQUENCES = (list, set, frozenset, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable, abc.Set)


class Holds(enum.Enum):
    """What a tensor becomes on its way to an argument."""

    ARRAY = "array"  # nested lists where the script has not imported NumPy
    LISTS = "lists"
    SINGLE = "single"
    TABLE = "table"  # whose columns are tensors


class Slot(NamedTuple):
    """One tensor. The shape has -1 for what is not known; a single value is a tensor of one element."""

    datatype: str = "FP64"
    shape: tuple[int, ...] = (-1,)
    holds: Holds = Holds.ARRAY
    is_raw: bool = False  # of BYTES: bytes are wanted, not text

    def filled(self, tensor: Tensor) -> Any:
        """What the argument is made of. Raises NoTensor."""
        if self.holds is Holds.SINGLE:
            if prod(tensor.shape) != 1:
                raise NoTensor(f"must have one element, not the shape {list(tensor.shape)}")
            tensor = Tensor(tensor.datatype, (), tensor.data)
        if self.is_raw and isinstance(tensor.data, list):
            return Tensor(BYTES, tensor.shape, [base64.b64encode(each) for each in tensor.data]).lists()
        numpy = sys.modules.get("numpy")
        if self.holds is Holds.ARRAY and hasattr(numpy, "ndarray"):
            return tensor.array(numpy)
        return tensor.lists()

    def told(self, name: str) -> dict[str, Any]:
        """As metadata has it."""
        return {"name": name, "datatype": self.datatype, "shape": list(self.shape)}


class Slots:
    """The tensors that one function takes and gives."""

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        self._forms = Forms()
        self.inputs: dict[str, Slot] = {}
        self.names: list[str] = []  # of every parameter that has one
        self.why_not = ""  # the function cannot be called with tensors
        self.rest: Slot | None = None  # of any other name
        self.table = ""  # the parameter whose columns the tensors are, where one is a table and is all that is needed
        self.outputs: dict[str, Slot] = {}
        if isinstance(function, TakesWhole):  # its columns' names are no parameters
            self.rest = Slot(holds=Holds.LISTS)
            return
        hints = annotations_of(function)
        for parameter in _parameters(function):
            self._take(name, parameter, self.of(hints.get(parameter.name, Any)))
        self._find_table(name)
        self.outputs = self._given(hints.get("return", Any))

    def arguments(self, request: Request) -> dict[str, Any]:
        """By name: what becomes of the tensors, and those parameters of the request that the function has too.

        Raises NoTensor.
        """
        if self.table and self.table not in request.inputs:
            return {self.table: self._columns(request)} if request.inputs else {}
        made: dict[str, Any] = {}
        for name, tensor in request.inputs.items():
            slot = self.inputs.get(name) or self.rest or Slot()
            made[name] = _named(name, slot.filled, tensor)
        told = request.parameters or {}
        beside = {name: told[name] for name in self.names if name in told and name not in RESERVED}
        return {**beside, **made}

    def _columns(self, request: Request) -> dict[str, Any]:
        return {name: _named(name, Tensor.column, tensor) for name, tensor in request.inputs.items()}

    def of(self, hint: Any) -> Slot | None:
        """What tensor an annotation wants; None where none will do. Raises nothing."""
        try:
            return self._of(hint)
        except Exception:  # an annotation may be any object
            return Slot()

    def _of(self, hint: Any) -> Slot | None:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self.of(arguments[0])
        if origin in (typing.Union, types.UnionType):
            return next((found for each in arguments if each is not type(None) and (found := self.of(each))), None)
        if origin is typing.Literal:
            return _one_like(arguments[0])
        if isinstance(hint, typing.NewType):
            return self.of(hint.__supertype__)
        if hasattr(hint, "__value__"):  # `type X = ...` of Python 3.12
            return self.of(hint.__value__)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return self._listed(arguments, len(arguments))
        kind = origin or hint
        if kind in _SEQUENCES or kind is tuple:
            return self._listed(arguments or (Any,), -1)
        return self._of_kind(kind, hint, arguments)

    def _of_kind(self, kind: Any, hint: Any, arguments: tuple[Any, ...]) -> Slot | None:
        if kind in _SINGLE:
            return Slot(_SINGLE[kind], (1,), Holds.SINGLE, is_raw=kind in (bytes, bytearray))
        if kind in LEAVES:
            return Slot(BYTES, (1,), Holds.SINGLE)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return _one_like(next(iter(kind)).value) if len(kind) else None
        foreign = _of_array(kind, arguments) or _of_table(kind)
        return foreign or (Slot() if self._forms.of(hint).convert is None else None)

    def _listed(self, arguments: tuple[Any, ...], length: int) -> Slot | None:
        inner = self.of(arguments[0])
        if inner is None or inner.holds is Holds.TABLE:
            return None
        is_known = arguments[0] is not Any
        shape = inner.shape if is_known and inner.holds is not Holds.SINGLE else ()
        return Slot(inner.datatype, (length, *shape), Holds.LISTS, inner.is_raw)

    def _take(self, name: str, parameter: Parameter, slot: Slot | None) -> None:
        if parameter.kind is parameter.VAR_KEYWORD:
            self.rest = slot
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            return
        self.names.append(parameter.name)
        if slot is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
            self.inputs[parameter.name] = slot
        elif parameter.default is parameter.empty:
            wants = "is taken by position only" if slot else "is neither an array, nor a list, nor a single value"
            self.why_not = (
                f"{name}() cannot be called with tensors: its parameter '{parameter.name}' {wants}; send POST /model"
            )

    def _find_table(self, name: str) -> None:
        tables = [each for each, slot in self.inputs.items() if slot.holds is Holds.TABLE]
        if len(tables) == 1 and len(self.inputs) == 1:
            self.table = tables[0]
        elif tables:
            self.why_not = f"{name}() takes a table beside other arguments ({quoted(self.inputs)}): send POST /model"

    def _given(self, hint: Any) -> dict[str, Slot]:
        """By name; empty where names are known only afterwards."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return {f"output_{at}": self.of(each) or Slot() for at, each in enumerate(arguments)}
        kind = origin or hint
        if isinstance(kind, type):
            if dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or hasattr(kind, "_field_defaults"):
                return {name: self.of(each) or Slot() for name, each in hints_of(kind).items()}
            if kind is tuple or issubclass(kind, Mapping):
                return {}
        slot = self.of(hint) or Slot()
        return {} if slot.holds is Holds.TABLE else {"output": slot}


def _named(name: str, make: Callable[[Tensor], Any], tensor: Tensor) -> Any:
    try:
        return make(tensor)
    except NoTensor as error:
        raise NoTensor(f"input {name!r} {error}") from error


def _parameters(function: Callable[..., object]) -> list[Parameter]:
    try:
        return list(signature(function).parameters.values())
    except (ValueError, TypeError):  # written in C: whatever comes is passed on
        return [Parameter("rest", Parameter.VAR_KEYWORD)]


def _one_like(value: object) -> Slot | None:
    return Slot(_SINGLE[type(value)], (1,), Holds.SINGLE) if type(value) in _SINGLE else None


def _of_array(kind: Any, arguments: tuple[Any, ...]) -> Slot | None:
    numpy: Any = sys.modules.get("numpy")
    if not isinstance(kind, type) or not isinstance(getattr(numpy, "ndarray", None), type):
        return None
    if kind is numpy.ndarray:
        return Slot(_datatype(dtype_of(numpy, arguments)))
    if issubclass(kind, numpy.generic):
        return Slot(_datatype(numpy.dtype(kind)), (1,), Holds.SINGLE)
    return None


def _datatype(dtype: Any) -> str:
    if dtype is None:
        return "FP64"
    prefix = {"i": "INT", "u": "UINT", "f": "FP", "b": "BOOL"}.get(dtype.kind, BYTES)
    name = f"{prefix}{dtype.itemsize * 8}" if dtype.kind in "iuf" else prefix
    return name if name in DATATYPES else "FP64"


def _of_table(kind: Any) -> Slot | None:
    pandas: Any = sys.modules.get("pandas")
    if not isinstance(getattr(pandas, "DataFrame", None), type):
        return None
    if kind is pandas.Series:
        return Slot(holds=Holds.LISTS)
    return Slot(holds=Holds.TABLE) if kind is pandas.DataFrame else None
