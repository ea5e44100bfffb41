"""This file is the Open Inference Protocol's part of a model's document: its paths, and what they take and give."""

from __future__ import annotations

from typing import Any

from .slots import Slot, Slots
from .tensors import DATATYPES

Json = dict[str, Any]

_TENSOR = "InferenceTensor"


def paths(name: str, slots: Slots) -> tuple[Json, Json]:
    """The paths under /v2, and the schemas that they refer to; nothing where the function takes no tensors."""
    if slots.why_not:
        return {}, {}
    at = f"/v2/models/{name}"
    schemas = {_TENSOR: _TENSOR_SCHEMA, "InferenceError": _ERROR_SCHEMA}
    return {
        "/v2/health/live": {"get": _look("Whether the model is there", {"live": {"type": "boolean"}})},
        "/v2/health/ready": {"get": _look("Whether an instance answers", {"ready": {"type": "boolean"}})},
        "/v2": {"get": _look("What the server can", {"name": {"type": "string"}, "extensions": {"type": "array"}})},
        at: {"get": _look("Its tensors", {"inputs": {"type": "array"}, "outputs": {"type": "array"}})},
        f"{at}/ready": {"get": _look("Whether it is ready", {"ready": {"type": "boolean"}})},
        f"{at}/infer": {"post": _infer(slots)},
    }, schemas


def _infer(slots: Slots) -> Json:
    inputs = [_example(name, slot) for name, slot in slots.inputs.items() if name != slots.table]
    taken = {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": _ref(_TENSOR)},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            "parameters": {"type": "object"},
        },
    }
    given = {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "id": {"type": "string"},
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "outputs": {"type": "array", "items": _ref(_TENSOR)},
        },
    }
    media = {"schema": taken, **({"example": {"inputs": inputs}} if inputs else {})}
    return {
        "operationId": "infer",
        "summary": "Call the function with tensors (Open Inference Protocol)",
        "requestBody": {"required": True, "content": {"application/json": media}},
        "responses": {
            "200": {"description": "What the function returned", "content": {"application/json": {"schema": given}}},
            "default": _refused(),
        },
    }


def _example(name: str, slot: Slot) -> Json:
    """A tensor of zeros of the right kind: how it is written, not what makes sense."""
    zero: Any = {"BYTES": "", "BOOL": False}.get(slot.datatype, 0)
    shape = [max(size, 1) for size in slot.shape]
    count = 1
    for size in shape:
        count *= size
    return {"name": name, "datatype": slot.datatype, "shape": shape, "data": [zero] * count}


def _look(summary: str, properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    content = {"application/json": {"schema": schema}}
    return {
        "summary": summary,
        "responses": {"200": {"description": summary, "content": content}, "default": _refused()},
    }


def _refused() -> Json:
    return {"description": "Why not", "content": {"application/json": {"schema": _ref("InferenceError")}}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_TENSOR_SCHEMA: Json = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": {"type": "string"},
        "datatype": {"enum": list(DATATYPES)},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        "data": {"type": "array", "description": "row by row, or nested as the shape says"},
        "parameters": {"type": "object"},
    },
}
_ERROR_SCHEMA: Json = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
