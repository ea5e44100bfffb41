"""This file is what a model API says of itself: its function's parameters, its result, and a call to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from modelway.models import model_path
from modelway.records import Json, Model
from modelway.transport import Transport

_DEEP = 8  # what holds itself is shown up to here
_MOST = 64  # ways to write one thing that are looked at
_BY_POSITION = "Any number of further ones, by position."
_BY_NAME = "Any further ones, by their names."
_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
    "array": "list",
}
_SAMPLES: dict[str, Json] = {"integer": 0, "number": 0.0, "string": "", "boolean": False, "null": None}
_TEXTS = {
    "date": "2000-01-31",
    "date-time": "2000-01-31T12:00:00+00:00",
    "time": "12:00:00",
    "uuid": "00000000-0000-0000-0000-000000000000",
}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a function. `type` is for people; `default` is None where there is none, or it is null.

    `is_many`: it takes all that the others leave, by position (`name` is `*`) or by name (`**`).
    """

    name: str
    type: str
    is_required: bool
    default: Json = None
    text: str = ""
    is_many: bool = False


@dataclass(frozen=True, kw_only=True)
class Description:
    """A model's document, read for people. `example`: a whole request body, given at publish or made of the types."""

    function: str
    version: str
    summary: str
    text: str
    parameters: tuple[Parameter, ...]
    result: str
    example: Json
    is_example_made: bool
    document: Json

    @classmethod
    def read(cls, answer: Json) -> Description:
        call = answer["paths"]["/model"]["post"]
        schemas = _Schemas(answer)
        media = _media(call.get("requestBody"))
        taken = schemas.whole(media.get("schema"))
        return cls(
            function=str(answer["info"]["title"]),
            version=str(answer["info"]["version"]),
            summary=str(call.get("summary") or ""),
            text=str(call.get("description") or answer["info"].get("description") or ""),
            parameters=tuple(schemas.parameters(media.get("schema"))),
            result=schemas.type_of(_result(call)),
            example=media["example"] if "example" in media else schemas.sample(taken),
            is_example_made="example" not in media,
            document=answer,
        )


def describe(
    transport: Transport, model: Model, label: str = "latest", *, timeout_s: float | None = None
) -> Description:
    """What the version says of itself that `label` leads to. For collaborators, who need no access token for it."""
    path, params = f"{model_path(model.id)}/openapi.json", {"label": label}
    timeout = None if timeout_s is None else httpx.Timeout(timeout_s)
    return transport.once("GET", path, Description.read, params=params, timeout=timeout)


def _media(holder: Json) -> dict[str, Any]:
    return dict(((holder or {}).get("content") or {}).get("application/json") or {})


def _result(call: Json) -> Json:
    envelope = _media((call.get("responses") or {}).get("200")).get("schema") or {}
    return (envelope.get("properties") or {}).get("result") or {}


class _Schemas:
    """The schemas of one document, for people."""

    def __init__(self, document: Json) -> None:
        self._named: Mapping[str, Any] = (document.get("components") or {}).get("schemas") or {}

    def whole(self, schema: Json) -> dict[str, Any]:
        """The first of the ways in which the body may be written."""
        found = self._followed(schema)
        return self._followed(found["oneOf"][0]) if found.get("oneOf") else found

    def parameters(self, schema: Json) -> list[Parameter]:
        """By name where the function takes names, else by position; then what takes any number more."""
        body = self._followed(schema)
        ways: dict[str, Json] = {}
        for each in body.get("oneOf") or [body]:
            ways |= self._followed(each).get("properties") or {}
        data, placed = self._with_names(ways.get("data")), self._followed(ways.get("parameters"))
        told = self._named_parameters(data) if "data" in ways else self._placed_parameters(placed)
        further = (("*", placed.get("items"), _BY_POSITION), ("**", data.get("additionalProperties"), _BY_NAME))
        return told + [self._many(name, each, text) for name, each, text in further if each not in (None, False)]

    def type_of(self, schema: Json, depth: int = 0) -> str:
        """
        >>> _Schemas({}).type_of({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}})
        'list of (whole number or null)'
        """
        if not isinstance(schema, Mapping) or depth > _DEEP:
            return "anything"
        if "$ref" in schema:
            return str(schema["$ref"]).rpartition("/")[2]
        if "enum" in schema:
            return " or ".join(repr(each) for each in schema["enum"])
        several = schema.get("anyOf") or schema.get("oneOf")
        if several:
            return " or ".join(dict.fromkeys(self.type_of(each, depth + 1) for each in several))
        kind = schema.get("type")
        if isinstance(kind, list):
            return " or ".join(_KINDS.get(each, str(each)) for each in kind)
        return self._of_kind(schema, str(kind), depth)

    def sample(self, schema: Json, depth: int = 0) -> Json:
        """A value of the schema, with no more in it than it needs."""
        found = self._followed(schema)
        if depth > _DEEP:
            return None
        if "default" in found:
            return found["default"]
        if found.get("enum"):
            return found["enum"][0]
        for several in ("anyOf", "oneOf"):
            if found.get(several):
                return self.sample(found[several][0], depth + 1)
        kind = found.get("type")
        kind = next(iter(kind), None) if isinstance(kind, list) else kind
        if kind == "object":
            held = found.get("properties") or {}
            return {name: self.sample(held.get(name), depth + 1) for name in found.get("required") or []}
        if kind == "array":
            slots = (found.get("prefixItems") or [])[: found.get("minItems", 0)]
            rest = [found["items"]] if found.get("items") and not slots else []
            return [self.sample(each, depth + 1) for each in slots + rest]
        # Where anything fits, a number: functions that say nothing of what they take expect one oftener than null.
        return _TEXTS.get(str(found.get("format")), "") if kind == "string" else _SAMPLES.get(str(kind), 0)

    def _named_parameters(self, data: Mapping[str, Any]) -> list[Parameter]:
        needed = data.get("required") or []
        return [self._parameter(name, each, name in needed) for name, each in (data.get("properties") or {}).items()]

    def _placed_parameters(self, placed: Mapping[str, Any]) -> list[Parameter]:
        slots, least = placed.get("prefixItems") or [], placed.get("minItems", 0)
        return [self._parameter(each.get("title", ""), each, at < least) for at, each in enumerate(slots)]

    def _many(self, name: str, schema: Json, text: str) -> Parameter:
        told = schema.get("description") if isinstance(schema, Mapping) else None
        return Parameter(name=name, type=self.type_of(schema), is_required=False, text=str(told or text), is_many=True)

    def _parameter(self, name: str, schema: Json, is_required: bool) -> Parameter:
        return Parameter(
            name=name,
            type=self.type_of(schema),
            is_required=is_required,
            default=schema.get("default"),
            text=str(schema.get("description") or ""),
        )

    def _of_kind(self, schema: Mapping[str, Any], kind: str, depth: int) -> str:
        if kind == "array" and isinstance(schema.get("items"), Mapping) and schema["items"]:
            held = self.type_of(schema["items"], depth + 1)
            return f"list of ({held})" if " " in held and " or " in held else f"list of {held}"
        if kind == "string" and ("format" in schema or "contentEncoding" in schema):
            return f"text ({schema.get('format') or schema['contentEncoding']})"
        return _KINDS.get(kind, "anything")

    def _with_names(self, schema: Json) -> dict[str, Any]:
        """The first of the ways to write it that has names; where none has, what the schema leads to."""
        waiting = [schema]
        for _ in range(_MOST):
            if not waiting:
                break
            found = self._followed(waiting.pop(0))
            if found.get("properties"):
                return found
            waiting[:0] = found.get("anyOf") or found.get("oneOf") or []
        return self._followed(schema)

    def _followed(self, schema: Json) -> dict[str, Any]:
        """What a reference leads to."""
        for _ in range(_DEEP):
            if not isinstance(schema, Mapping) or "$ref" not in schema:
                break
            schema = self._named.get(str(schema["$ref"]).rpartition("/")[2])
        return dict(schema) if isinstance(schema, Mapping) else {}
