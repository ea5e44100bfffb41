"""This file is the "data" of a call of an MLflow model: how it becomes arguments, and what people read about it.

It holds one of the words of MLflow's scoring protocol, or the columns by themselves where they have names, and `params`
where the model has any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..forms import Convert, Form, Misfit, Named, Schema, step
from ..shapes import record_of
from ..wording import quoted
from .cells import WORDS
from .inputs import Kind
from .types import Spec, parameter_of

PARAMS = "params"


def data_form(kind: Kind, params: Sequence[Spec]) -> Form:
    """The form of "data", which makes `inputs`, and `params` where they are given."""
    return Form(_reader(kind, params), "an object", schema=lambda: _schema(kind, params))


def _reader(kind: Kind, params: Sequence[Spec]) -> Convert:
    """How "data" becomes the arguments of `Predict`."""
    accepted = record_of(PARAMS, {spec["name"]: (parameter_of(spec), False) for spec in params}, dict, is_users=False)
    assert accepted.convert is not None  # noqa: S101  # it looks at what it is given
    read_params = accepted.convert
    has_params = bool(params) and PARAMS not in kind.names

    def read(data: Any) -> dict[str, object]:
        made: dict[str, object] = {}
        columns = data
        if has_params and PARAMS in data:
            columns = {name: value for name, value in data.items() if name != PARAMS}
            given = _under(PARAMS, read_params, data[PARAMS])
            made["params"] = {name: value for name, value in given.items() if value is not None}
        return {"inputs": _inputs(kind, columns), **made}

    return read


def _inputs(kind: Kind, data: dict[str, Any]) -> Any:
    words = [word for word in WORDS if word in data and _is_meant(kind, word, data[word])]
    unknown = [name for name in data if name not in words and name not in kind.names]
    if len(words) == 1 and not unknown and len(data) == 1:
        return _under(words[0], _convert(kind, words[0]), data[words[0]])
    if len(words) > 1:
        raise Misfit(f"has {quoted(words)}, of which it must have one")
    if unknown or words or not kind.names:
        raise Misfit(_expected(kind, unknown))
    return kind.plain(data)


def _is_meant(kind: Kind, word: str, value: Any) -> bool:
    """A column that is called like one of the words is meant by it, but what no column holds cannot be meant."""
    return word not in kind.names or type(value) is dict


def _convert(kind: Kind, word: str) -> Convert:
    if word not in kind.words:
        raise Misfit(f"has {quoted([word])}, which does not suit this model: it takes {quoted(kind.words)}")
    return kind.words[word]


def _expected(kind: Kind, unknown: list[str]) -> str:
    has = f"has {quoted(unknown)}, which it must not: it" if unknown else "must be what this model takes: it"
    columns = f"the columns {quoted(kind.names)}, or " if kind.names else ""
    return f"{has} takes {columns}one of {quoted(kind.words)}"


def _under(place: str, convert: Convert, value: Any) -> Any:
    try:
        return convert(value)
    except Misfit as misfit:
        misfit.steps.append(step(place))
        raise


def _schema(kind: Kind, params: Sequence[Spec]) -> Schema:
    extra: dict[str, Any] = {}
    if params and PARAMS not in kind.names:
        fields = {spec["name"]: {**_inline(parameter_of(spec)), "default": spec.get("default")} for spec in params}
        made = {"type": "object", "properties": fields, "additionalProperties": False}
        extra[PARAMS] = Named("Params", lambda: made)
    ways = [
        {"type": "object", "properties": {word: kind.schema(word), **extra}, "required": [word]} for word in kind.words
    ]
    if kind.names:
        ways.insert(0, _with(kind.schema(None), extra))
    return {"type": "object", "anyOf": ways}


def _inline(form: Form) -> Schema:
    return form.schema if isinstance(form.schema, Mapping) else {}


def _with(schema: Schema, extra: Mapping[str, Any]) -> dict[str, Any]:
    """The columns alone, with `params` beside them and nothing else."""
    if "anyOf" in schema:
        return {"anyOf": [_with(each, extra) for each in schema["anyOf"]]}
    return {**schema, "properties": {**schema["properties"], **extra}, "additionalProperties": False}
