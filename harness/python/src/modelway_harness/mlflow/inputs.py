"""This file is what MLflow models take, by their signature: a table, tensors, a list, or whatever comes.

Each kind knows the words of MLflow's scoring protocol that it can be written by, and turns what stands behind one into
what `predict` wants. NumPy and pandas come from the model's own environment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from .. import arrays
from ..forms import Convert, Misfit, Schema, step, wrong
from ..frames import form_of as frame_form_of
from ..wording import quoted
from .cells import INPUTS, INSTANCES, RECORDS, SPLIT, are_objects, by_row, split
from .tables import Table, Unnamed
from .types import Spec


class Kind(Protocol):
    """One kind of signature. `words`: what each says, by the word; `names` may be written without any word."""

    words: dict[str, Convert]
    names: list[str]

    def plain(self, columns: dict[str, Any]) -> Any:
        """What `predict` wants, of the named columns or tensors alone. Raises Misfit."""

    def schema(self, word: str | None) -> Schema:
        """The JSON Schema of what stands behind a word, or of the columns alone."""


def kind_of(specs: Sequence[Spec] | None, *, is_checked_by_hint: bool, numpy: Any, pandas: Any) -> Kind:
    """The kind of a signature; of none where there is no signature, or one that says nothing."""
    if is_checked_by_hint:
        return AsItCame()
    if not specs or (len(specs) == 1 and not specs[0].get("name") and specs[0].get("type") == "any"):
        return Unknown(numpy, pandas)
    if any(spec.get("type") == "tensor" for spec in specs):
        return Tensors(specs, numpy)
    if all(spec.get("name") for spec in specs):
        return Table(specs, pandas)
    return Unnamed(specs, pandas)


class Tensors:
    """Tensors: one without a name, which becomes an array, or several by their names."""

    def __init__(self, specs: Sequence[Spec], numpy: Any) -> None:
        self._specs = specs
        self._numpy = numpy
        self.names = [spec["name"] for spec in specs if spec.get("name")]
        self.words: dict[str, Convert] = {INSTANCES: self._instances, INPUTS: self._inputs}

    def plain(self, columns: dict[str, Any]) -> Any:
        missing = [name for name in self.names if name not in columns]
        if missing:
            raise Misfit(f"is without {quoted(missing)}")
        return {spec["name"]: self._array(spec, columns[spec["name"]], spec["name"]) for spec in self._specs}

    def _inputs(self, value: Any) -> Any:
        if not self.names:
            return self._array(self._specs[0], value)
        if len(self.names) == 1 and type(value) is list:
            return {self.names[0]: self._array(self._specs[0], value)}
        if type(value) is not dict:
            raise wrong(f"an object with {quoted(self.names)}", value)
        return self.plain(value)

    def _instances(self, value: Any) -> Any:
        if self.names and are_objects(value):
            return self.plain(by_row(value, self._specs).columns)
        return self._inputs(value)

    def _array(self, spec: Spec, value: Any, *place: str) -> Any:
        tensor = spec["tensor-spec"]
        dtype = self._numpy.dtype(tensor["dtype"])
        form = arrays.form_of(self._numpy.ndarray, (Any, self._numpy.dtype[dtype.type]))
        assert form is not None  # noqa: S101  # it is NumPy's own class
        assert form.convert is not None  # noqa: S101
        try:
            made = form.convert(value)
            wanted = tuple(tensor["shape"])
            if len(made.shape) != len(wanted) or any(w not in (-1, h) for w, h in zip(wanted, made.shape, strict=True)):
                raise Misfit(f"must be of the shape {_shape(wanted)}, not {_shape(made.shape)}")
        except Misfit as misfit:
            misfit.steps += [step(each) for each in place]
            raise
        return made

    def schema(self, word: str | None) -> Schema:
        of_each = {str(spec.get("name")): _tensor_schema(spec) for spec in self._specs}
        if not self.names:
            return next(iter(of_each.values()))
        named = {"type": "object", "properties": of_each, "required": self.names}
        return {"type": "array", "items": {"type": "object"}} if word == INSTANCES else named


class AsItCame:
    """What the type hints of the model's own `predict` say, by which MLflow checks it."""

    def __init__(self) -> None:
        self.words: dict[str, Convert] = {INPUTS: lambda value: value}
        self.names: list[str] = []

    def plain(self, columns: dict[str, Any]) -> Any:
        raise Misfit("has no names")  # never asked: there are none

    def schema(self, word: str | None) -> Schema:
        return {}


class Unknown:
    """A model without a signature: tables are tables, lists are arrays, and the model finds out."""

    def __init__(self, numpy: Any, pandas: Any) -> None:
        self._numpy = numpy
        self._pandas = pandas
        self.names: list[str] = []
        self.words: dict[str, Convert] = {SPLIT: self._split, RECORDS: self._records}
        self.words[INSTANCES] = self.words[INPUTS] = self._guessed

    def plain(self, columns: dict[str, Any]) -> Any:
        raise Misfit("has no names")  # never asked: there are none

    def _split(self, value: Any) -> Any:
        return self._pandas.DataFrame(split(value).columns)

    def _records(self, value: Any) -> Any:
        if type(value) is not list:
            raise wrong("a list of rows", value)
        form = frame_form_of(self._pandas.DataFrame)
        return value if form is None or form.convert is None else form.convert(value)

    def _guessed(self, value: Any) -> Any:
        if type(value) is dict:
            return {name: self._guessed(held) for name, held in value.items()}
        form = arrays.form_of(self._numpy.ndarray, ())
        if type(value) is not list or are_objects(value) or form is None or form.convert is None:
            return value
        try:
            return form.convert(value)
        except Misfit:  # lists of other things are lists
            return value

    def schema(self, word: str | None) -> Schema:
        return {"type": "object"} if word == SPLIT else {"type": "array"} if word == RECORDS else {}


def _shape(shape: Sequence[int]) -> str:
    """
    >>> _shape((-1, 3)), _shape((2,))
    ('[any, 3]', '[2]')
    """
    return f"[{', '.join('any' if length == -1 else str(length) for length in shape)}]"


def _tensor_schema(spec: Spec) -> Schema:
    tensor = spec["tensor-spec"]
    return {"type": "array", "description": f"nested lists of the shape {_shape(tensor['shape'])}: {tensor['dtype']}"}
