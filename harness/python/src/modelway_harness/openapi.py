"""This file is the OpenAPI 3.1 document of one model: what its function takes and gives, for people and programs.

It is made of what binding converts by, so the two cannot differ. The same function gives the same text always.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from inspect import Parameter, Signature, isasyncgenfunction, isgeneratorfunction, signature
from typing import Any, get_args, get_origin

from .annotations import Forms, annotations_of
from .decoding import NotReadable, decode
from .docstrings import docstring_of
from .encoding import NotJson, encode
from .flow import EVENTS, LINES
from .forms import Named
from .inference.openapi import paths
from .inference.slots import Slots
from .whole import TakesWhole

Json = dict[str, Any]

HERE = "."  # at a worker itself
_TOLD = "An access token of the model; one that is not restricted asks for none"
_WAYS_IN: Json = {
    "token": {"type": "http", "scheme": "bearer", "description": _TOLD},
    "basic": {"type": "http", "scheme": "basic", "description": f"{_TOLD}. User name and password are both the token"},
}
_ERRORS = {
    "400": "The body is not JSON, or does not fit the function",
    "413": "The body is too large",
    "415": "The body is no JSON by its content type",
    "500": "The function failed, or returned what JSON cannot hold",
    "503": "Every worker is busy",
    "504": "The call took longer than the request timeout",
}


def describe(
    function: Callable[..., object], *, name: str, version: str = "1", example: str = "", url: str = HERE
) -> Json:
    """The document of `function`, which people know as `name`; `example` is a whole request body. Raises nothing.

    `url` is where it is reached; there, other than at a worker itself, a token is asked for.

    >>> def double(x: float) -> float:
    ...     "Twice the number."
    >>> describe(double, name="double")["paths"]["/model"]["post"]["summary"]
    'Twice the number.'
    """
    return _Document(function).whole(name, version, example, url)


class _Document:
    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._doc = docstring_of(function)
        self._forms = Forms()
        self._hints = annotations_of(function)
        self._components: dict[str, Json] = {}
        self._named: dict[str, Named] = {}

    def whole(self, name: str, version: str, example: str, url: str) -> Json:
        call = {
            "operationId": name,
            "summary": self._doc.summary or f"Call {name}()",
            "description": self._doc.text,
            "requestBody": {"required": True, "content": {"application/json": self._request(example)}},
            "responses": {"200": self._success(), **{status: _error(why) for status, why in _ERRORS.items()}},
        }
        health = {"summary": "Whether this model answers", "responses": {"200": {"description": "It does"}}}
        inference, tensors = paths(name, Slots(name, self._function))
        schemas = {**tensors, **dict(sorted(self._components.items())), "Errors": _ERRORS_SCHEMA}
        is_public = url != HERE
        return {
            "openapi": "3.1.0",
            "info": {"title": name, "version": version, "description": self._doc.text},
            "servers": [{"url": url}],
            **({"security": [{way: []} for way in _WAYS_IN]} if is_public else {}),
            "paths": {"/model": {"post": call}, **({} if is_public else {"/health": {"get": health}}), **inference},
            "components": {"schemas": schemas, **({"securitySchemes": _WAYS_IN} if is_public else {})},
        }

    def _request(self, example: str) -> Json:
        ways = self._ways()
        media: Json = {"schema": ways[0] if len(ways) == 1 else {"oneOf": ways}}
        example = example or (self._function.example if isinstance(self._function, TakesWhole) else "")
        try:
            return media | ({"example": decode(example.encode())} if example else {})
        except (NotReadable, UnicodeEncodeError):
            return media

    def _ways(self) -> list[Json]:
        """By name, by position, or either, as the function can be called."""
        if isinstance(self._function, TakesWhole):
            return [_holds("data", self._rendered(self._function.takes.schema))]
        try:
            parameters = list(signature(self._function).parameters.values())
        except (ValueError, TypeError):
            return [_holds("data", {"type": "object"}), _holds("parameters", {"type": "array"})]
        ways = []
        if not any(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters):
            ways.append(_holds("data", self._by_name(parameters)))
        if not any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            ways.append(_holds("parameters", self._by_position(parameters)))
        return ways or [{"not": {}}]

    def _by_name(self, parameters: list[Parameter]) -> Json:
        named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        rest = [self._schema(p) for p in parameters if p.kind is p.VAR_KEYWORD]
        return {
            "type": "object",
            "properties": {p.name: self._schema(p) for p in named},
            "required": [p.name for p in named if p.default is p.empty],
            "additionalProperties": rest[0] if rest else False,
        }

    def _by_position(self, parameters: list[Parameter]) -> Json:
        slots = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        rest = [self._schema(p) for p in parameters if p.kind is p.VAR_POSITIONAL]
        least = sum(p.default is p.empty for p in slots)
        schema: Json = {"type": "array", "minItems": least, "items": rest[0] if rest else False}
        if slots:
            schema["prefixItems"] = [{"title": p.name, **self._schema(p)} for p in slots]
        return schema

    def _schema(self, parameter: Parameter) -> Json:
        schema: Json = self._rendered(self._forms.of_parameter(parameter, self._hints).schema)
        told = self._doc.parameters.get(parameter.name)
        if told:
            schema = {**schema, "description": told}
        if parameter.default is parameter.empty:
            return schema
        try:
            return {**schema, "default": json.loads(encode(parameter.default))}
        except NotJson:
            return schema

    def _success(self) -> Json:
        hint = self._hints.get("return", Signature.empty)
        comes_in_pieces = _is_iterator(hint) or _is_generator(self._function)
        held = (get_args(hint) or (Any,))[0] if comes_in_pieces else hint
        result = {} if hint is Signature.empty else self._rendered(self._forms.of(held).schema)
        if isinstance(self._function, TakesWhole):
            result = self._rendered(self._function.gives)
        whole = {"type": "array", "items": result} if comes_in_pieces else result
        content = {"application/json": {"schema": _envelope(whole)}}
        return {"description": "What the function returned", "content": content | _in_pieces(result, comes_in_pieces)}

    def _rendered(self, schema: Any) -> Any:
        """A copy made of plain values; what bears a name is put beside, once."""
        if isinstance(schema, Named):
            return {"$ref": f"#/components/schemas/{self._name(schema)}"}
        if callable(schema):
            return self._rendered(self._without_definitions(schema))
        if isinstance(schema, dict):
            return {key: self._rendered(held) for key, held in schema.items()}
        if isinstance(schema, list):
            return [self._rendered(held) for held in schema]
        return schema

    def _name(self, named: Named) -> str:
        if named.name not in self._components:
            self._components[named.name] = {}  # it may lead to itself
            self._components[named.name] = self._rendered(self._without_definitions(named.schema))
        return named.name

    def _without_definitions(self, make: Callable[[], Any]) -> Json:
        try:
            schema = dict(make())
        except Exception:  # of a library, or of the user's: nothing is known then
            return {}
        for name, definition in schema.pop("$defs", {}).items():
            self._components.setdefault(name, definition)
        return schema


def _is_iterator(hint: Any) -> bool:
    kind = get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Iterator | AsyncIterator)


def _is_generator(function: Callable[..., object]) -> bool:
    """Also of an object whose `__call__` is one. A wrapper around one may give anything."""
    ways = (function, vars(type(function)).get("__call__"))
    return any(isgeneratorfunction(each) or isasyncgenfunction(each) for each in ways)


def _in_pieces(piece: Json, comes_in_pieces: bool) -> Json:
    """The streams of a function that gives its result piece by piece; what all take together is text to OpenAPI 3.1."""
    if not comes_in_pieces:
        return {}
    last = _envelope({})
    del last["properties"]["result"]
    last["required"].remove("result")
    line = {"anyOf": [_holds("result", piece), last, {"$ref": "#/components/schemas/Errors"}]}
    return {
        LINES.kind: {"schema": _text("Each line is JSON: a piece, or at last the rest or an error", line)},
        EVENTS.kind: {"schema": _text("The data of each event is JSON: a piece, or at last `end` or `error`", piece)},
    }


def _text(description: str, held: Json) -> Json:
    return {"type": "string", "description": description, "contentSchema": held}


def _holds(key: str, schema: Json) -> Json:
    return {"type": "object", "required": [key], "properties": {key: schema}}


def _envelope(result: Json) -> Json:
    release = {"harness_version": "string", "model_version": "string", "model_version_number": "integer"}
    return {
        "type": "object",
        "properties": {
            "result": result,
            "model_time_in_ms": {"type": "integer", "description": "milliseconds in the function"},
            "timing": {"type": "number", "description": "the same, not rounded"},
            "request_id": {"type": "string"},
            "release": {"type": "object", "properties": {key: {"type": kind} for key, kind in release.items()}},
        },
        "required": ["result", "model_time_in_ms", "timing", "request_id", "release"],
    }


def _error(why: str) -> Json:
    schema = {"$ref": "#/components/schemas/Errors"}
    return {"description": why, "content": {"application/json": {"schema": schema}}}


_ERRORS_SCHEMA: Json = {
    "type": "object",
    "properties": {"errors": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["errors"],
}
