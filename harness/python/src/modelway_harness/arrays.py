"""This file is the forms of NumPy's arrays and scalars. NumPy is used where the script has imported it, never else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from .forms import BOOLEAN, NUMBER, TEXT, WHOLE, Form, Misfit, Schema, shown, step, wrong
from .wording import described

_NUMBERS = {int, float, type(None)}
_ALIKE: list[set[type]] = [_NUMBERS, {bool}, {str}]  # what one array may hold together
_TEXT_KINDS, _NUMBER_KINDS = "USMm", "iufc"  # of dtypes


def form_of(kind: Any, arguments: tuple[Any, ...]) -> Form | None:
    """The form of `np.ndarray`, `npt.NDArray[np.float64]`, `np.float32` and their like; None for anything else."""
    numpy = sys.modules.get("numpy")
    if not isinstance(kind, type) or not isinstance(getattr(numpy, "ndarray", None), type):
        return None
    if kind is numpy.ndarray:  # type: ignore[union-attr]
        return Form(
            lambda value: _array(numpy, value, dtype_of(numpy, arguments)),
            "a list",
            schema=_schema(dtype_of(numpy, arguments)),
        )
    if issubclass(kind, numpy.generic):  # type: ignore[union-attr]
        return _scalar(numpy, kind)
    return None


def dtype_of(numpy: Any, arguments: tuple[Any, ...]) -> Any:
    """What `np.ndarray[Any, np.dtype[np.float64]]` wants its numbers to be; None when it does not say."""
    inner: tuple[Any, ...] = getattr(arguments[1], "__args__", ()) if len(arguments) == 2 else ()
    if len(inner) != 1 or not isinstance(inner[0], type) or not issubclass(inner[0], numpy.generic):
        return None
    named = inner[0]
    try:
        return numpy.dtype(named)
    except TypeError:  # an abstract kind, as np.floating
        return numpy.dtype(float) if issubclass(named, numpy.floating) else None


def _schema(dtype: Any) -> Schema:
    return {"type": "array", "description": "nested lists of equal lengths" + (f": {dtype.name}" if dtype else "")}


def _scalar(numpy: Any, kind: Any) -> Form | None:
    whole, number = issubclass(kind, numpy.integer), issubclass(kind, numpy.floating)
    plain = WHOLE if whole else NUMBER if number else BOOLEAN if issubclass(kind, numpy.bool_) else None
    if issubclass(kind, numpy.str_):
        plain = TEXT
    if plain is None or plain.convert is None:
        return None
    first = plain.convert

    def convert(value: Any) -> Any:
        held = first(value)
        if whole and not numpy.iinfo(kind).min <= held <= numpy.iinfo(kind).max:
            raise Misfit(f"is too large for {kind.__name__}")
        return kind(held)

    return Form(convert, plain.wants, schema=plain.schema)


def _array(numpy: Any, value: Any, dtype: Any) -> Any:
    if type(value) is not list:
        if isinstance(value, numpy.ndarray):  # a tensor has become one already
            return _of_dtype(numpy, value, dtype)
        raise wrong("a list", value)
    kinds = _kinds(value)
    wanted = None if dtype is None else _wanted(dtype.kind)
    if not any(kinds <= among for among in ([wanted] if wanted else _ALIKE)):
        raise _ragged(value) or _mixed(value, wanted)
    try:
        made = numpy.array(value, dtype=_natural(numpy, kinds, dtype))
    except (ValueError, TypeError, OverflowError) as error:
        raise _ragged(value) or Misfit(f"cannot be an array: {described(error)}") from None
    if made.dtype.kind == "O" or (made.dtype.kind == "f" and kinds == {int}):
        raise _ragged(value) or Misfit("holds whole numbers that are too large for an array")
    return made if dtype is None or made.dtype == dtype else _narrowed(numpy, made, dtype)


def _of_dtype(numpy: Any, array: Any, dtype: Any) -> Any:
    if dtype is None or array.dtype == dtype:
        return array
    if {dtype.kind, array.dtype.kind} <= set(_NUMBER_KINDS):
        return _narrowed(numpy, array, dtype)
    return _array(numpy, array.tolist(), dtype)


def _wanted(kind: str) -> set[type] | None:
    if kind in _NUMBER_KINDS:
        return _NUMBERS
    return {bool} if kind == "b" else {str} if kind in _TEXT_KINDS else None


def _kinds(value: list[Any]) -> set[type]:
    """The types of all that the nested lists hold. A list beside what is none counts as of that kind too."""
    kinds = set(map(type, value))
    if kinds == {list}:
        return set().union(*map(_kinds, value)) if value else kinds
    return kinds


def _natural(numpy: Any, kinds: set[type], dtype: Any) -> Any:
    """What is asked of NumPy at first: null is NaN among numbers, and the rest it finds out itself."""
    if type(None) in kinds:
        return numpy.dtype(float)
    if not kinds:
        return dtype or numpy.dtype(float)
    return dtype if dtype is not None and dtype.kind in "Mm" else None


def _narrowed(numpy: Any, made: Any, dtype: Any) -> Any:
    """The same numbers in another type. A float may lose digits, but nothing overflows and no fraction is dropped."""
    with numpy.errstate(all="ignore"):
        narrow = made.astype(dtype)
        is_same = numpy.isfinite(narrow) == numpy.isfinite(made) if dtype.kind == "f" else narrow == made
    if not is_same.all():
        place = tuple(numpy.argwhere(~is_same)[0].tolist())
        held = made[place].item()
        told = shown(held) if held == held else "null or NaN"
        raise _at(Misfit(f"is {told}, which {dtype.name} cannot hold"), place)
    return narrow


def _mixed(value: Any, wanted: set[type] | None) -> Misfit:
    """The first value that is not of the kind wanted, or else not of the first one's kind."""
    for leaf, place in _leaves(value):
        wanted = wanted or next((among for among in _ALIKE if type(leaf) in among), _NUMBERS)
        if type(leaf) not in wanted:
            wants = "true or false" if bool in wanted else "text" if str in wanted else "a number"
            return _at(wrong(wants, leaf), place)
    return Misfit("holds values of several kinds")


def _leaves(value: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[Any, tuple[int, ...]]]:
    for at, held in enumerate(value):
        if type(held) is list:
            yield from _leaves(held, (*place, at))
        else:
            yield held, (*place, at)


def _ragged(value: list[Any]) -> Misfit | None:
    """Where a value is a list and the first one beside it is not, or has another length, if there is such a place."""
    depths = [len(held) if type(held) is list else None for held in value]
    for at, (held, length) in enumerate(zip(value, depths, strict=True)):
        if (length is None) != (depths[0] is None):
            return _at(wrong("a single value as the first is" if length is not None else "a list", held), (at,))
        if length != depths[0]:
            return _at(Misfit(f"must be a list of {depths[0]} values as the first is, not of {length}"), (at,))
    for at, held in enumerate(value if depths[:1] != [None] else []):
        inner = _ragged(held)
        if inner is not None:
            inner.steps.append(step(at))
            return inner
    return None


def _at(misfit: Misfit, place: tuple[int, ...]) -> Misfit:
    misfit.steps += [step(each) for each in reversed(place)]
    return misfit
