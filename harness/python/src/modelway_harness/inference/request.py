"""This file is how a body of the Open Inference Protocol is read: JSON, and behind it its tensors' binary data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..decoding import NotReadable, decode
from ..wording import cut, json_kind
from .tensors import NoTensor, Tensor, datatype_of, from_binary, from_json, shape_of

_SHOWN = 80


class BadRequest(Exception):
    """The body is not of the protocol; the text tells the caller what to change."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one body asks for."""

    inputs: Mapping[str, Tensor]
    id: str | None = None
    parameters: Mapping[str, Any] | None = None
    outputs: Mapping[str, bool] | None = None  # those that are wanted, and whether as binary data; None is all
    is_binary: bool = False  # where an output does not say


def read(body: bytes, *, json_length: int | None) -> Request:
    """What `body` asks for; `json_length` is where its binary data begin. Raises BadRequest.

    >>> body = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT8", "data": [7]}]}'
    >>> read(body, json_length=None).inputs
    {'x': Tensor(datatype='INT8', shape=(1,), data=b'\\x07')}
    """
    if json_length is not None and json_length > len(body):
        raise BadRequest(f"Inference-Header-Content-Length is {json_length}, but the body has {len(body)} bytes")
    cut_at = len(body) if json_length is None else json_length
    try:
        document = decode(body[:cut_at])
    except NotReadable as error:
        raise BadRequest(str(error)) from error
    if not isinstance(document, dict):
        raise BadRequest(f'the body must be a JSON object with "inputs", not {json_kind(document)}')
    parameters = _parameters(document, "the request")
    is_binary = _flag(parameters, "binary_data_output", "the request") or False
    return Request(
        inputs=_inputs(document, body[cut_at:]),
        id=_id(document),
        parameters=parameters,
        outputs=_outputs(document, is_binary),
        is_binary=is_binary,
    )


def _id(document: dict[str, Any]) -> str | None:
    given = document.get("id")
    if given is not None and not isinstance(given, str):
        raise BadRequest(f'"id" must be text, not {json_kind(given)}')
    return given


def _inputs(document: dict[str, Any], binary: bytes) -> dict[str, Tensor]:
    inputs: dict[str, Tensor] = {}
    at = 0
    for name, given in _named(document, "inputs", "input").items():
        size = _parameters(given, f"input {name!r}").get("binary_data_size")
        try:
            if size is None:
                inputs[name] = _of_json(given)
            else:
                inputs[name] = _of_binary(given, binary, at, size)
                at += size
        except NoTensor as error:
            raise BadRequest(f"input {cut(repr(name), _SHOWN)} {error}") from error
    if at != len(binary):
        raise BadRequest(f"{len(binary)} bytes of binary data came, but the inputs' binary_data_size are {at} together")
    return inputs


def _of_json(given: dict[str, Any]) -> Tensor:
    datatype, shape = datatype_of(given.get("datatype")), shape_of(given.get("shape"))
    if "data" not in given:
        raise NoTensor('is without "data", and without binary data')
    return from_json(datatype, shape, given["data"])


def _of_binary(given: dict[str, Any], binary: bytes, at: int, size: object) -> Tensor:
    if type(size) is not int or size < 0:
        raise NoTensor('must have a "binary_data_size" that is a whole number from 0 on')
    if "data" in given:
        raise NoTensor('has both "data" and "binary_data_size"')
    if size > len(binary) - at:
        raise NoTensor(f"says that it has {size} bytes of binary data, but only {len(binary) - at} are there")
    return from_binary(datatype_of(given.get("datatype")), shape_of(given.get("shape")), binary[at : at + size])


def _outputs(document: dict[str, Any], is_binary: bool) -> dict[str, bool] | None:
    if not document.get("outputs"):
        return None
    wanted = {}
    for name, given in _named(document, "outputs", "output").items():
        said = f"output {cut(repr(name), _SHOWN)}"
        parameters = _parameters(given, said)
        if parameters.get("classification"):
            raise BadRequest(f"{said} is asked for as a classification, which this server does not make")
        told = _flag(parameters, "binary_data", said)
        wanted[name] = is_binary if told is None else told
    return wanted


def _named(document: dict[str, Any], key: str, what: str) -> dict[str, dict[str, Any]]:
    """The objects of a list, by their names."""
    given = document.get(key)
    if not isinstance(given, list):
        raise BadRequest(f'the body must have "{key}", a list of objects, not {json_kind(given)}')
    named: dict[str, dict[str, Any]] = {}
    for at, each in enumerate(given):
        name = each.get("name") if isinstance(each, dict) else None
        if not isinstance(name, str) or not name:
            raise BadRequest(f'{key}[{at}] must be an object with a "name"')
        if name in named:
            raise BadRequest(f"{what} {cut(repr(name), _SHOWN)} comes twice")
        named[name] = each
    return named


def _parameters(holder: dict[str, Any], said: str) -> dict[str, Any]:
    given = holder.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise BadRequest(f'"parameters" of {said} must be an object, not {json_kind(given)}')
    if "shared_memory_region" in given:
        raise BadRequest(f"{said} is in shared memory, which this server does not share")
    return given


def _flag(parameters: Mapping[str, Any], name: str, said: str) -> bool | None:
    given = parameters.get(name)
    if given is not None and not isinstance(given, bool):
        raise BadRequest(f'"{name}" of {said} must be true or false, not {json_kind(given)}')
    return given
