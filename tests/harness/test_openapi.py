"""The OpenAPI document of a model."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Any, Literal

import pytest
from modelway_harness.openapi import describe


class Colour(Enum):
    RED = "red"


@dataclass
class Flower:
    length: float
    colour: Colour = Colour.RED
    around: list[Flower] = field(default_factory=list)


def predict(flower: Flower, day: date | None = None, *more: int, kind: Literal["a", "b"] = "a", **rest: float) -> str:
    """Tell the species.

    By its length.

    Args:
        flower: The flower that
            was found.
        kind (str): Which model.

    Returns:
        day: not a parameter.
    """
    return ""


def request(document: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = document["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return schema


def test_a_function_is_described_as_it_can_be_called() -> None:
    document = describe(predict, name="iris", version="3", example='{"data": {"flower": {"length": 1}}}')
    by_name, by_position = request(document)["oneOf"]
    flower = {"$ref": "#/components/schemas/Flower", "description": "The flower that was found."}
    day = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": None}
    assert by_name["properties"]["data"] == {
        "type": "object",
        "properties": {
            "flower": flower,
            "day": day,
            "kind": {"enum": ["a", "b"], "description": "Which model.", "default": "a"},
        },
        "required": ["flower"],
        "additionalProperties": {"type": "number"},
    }
    assert by_position["properties"]["parameters"] == {
        "type": "array",
        "minItems": 1,
        "prefixItems": [{"title": "flower", **flower}, {"title": "day", **day}],
        "items": {"type": "integer"},
    }
    assert document["components"]["schemas"]["Flower"] == {
        "type": "object",
        "properties": {
            "length": {"type": "number"},
            "colour": {"enum": ["red"]},
            "around": {"type": "array", "items": {"$ref": "#/components/schemas/Flower"}},
        },
        "required": ["length"],
        "additionalProperties": False,
    }


def test_it_says_what_people_wrote_and_gave() -> None:
    document = describe(predict, name="iris", version="3", example='{"data": {"flower": {"length": 1}}}')
    post = document["paths"]["/model"]["post"]
    assert post["summary"] == "Tell the species."
    assert "By its length." in post["description"]
    assert post["requestBody"]["content"]["application/json"]["example"] == {"data": {"flower": {"length": 1}}}
    assert document["info"] | {"description": ""} == {"title": "iris", "version": "3", "description": ""}
    assert post["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["result"] == {
        "type": "string"
    }


def test_the_same_function_gives_the_same_text() -> None:
    assert json.dumps(describe(predict, name="iris")) == json.dumps(describe(predict, name="iris"))


def test_a_function_without_annotations_takes_anything() -> None:
    document = describe(lambda x, y=object: x, name="f")
    data = request(document)["oneOf"][0]["properties"]["data"]
    assert data["properties"] == {"x": {}, "y": {}}
    assert data["required"] == ["x"]
    assert list(document["components"]["schemas"]) == ["InferenceTensor", "InferenceError", "Errors"]


def only_named(*, x: int) -> None: ...


def only_placed(x: int, /) -> None: ...


@pytest.mark.parametrize(("function", "key"), [(only_named, "data"), (only_placed, "parameters")])
def test_only_the_ways_that_work_are_described(function: Any, key: str) -> None:
    assert request(describe(function, name="f"))["required"] == [key]


def test_an_example_that_is_no_json_is_left_out() -> None:
    content = describe(predict, name="f", example="{")["paths"]["/model"]["post"]["requestBody"]["content"]
    assert "example" not in content["application/json"]


def test_a_function_that_cannot_tell_its_signature_is_described_all_the_same() -> None:
    assert len(request(describe(max, name="max"))["oneOf"]) == 2


def pieces() -> Iterator[int]:
    yield 1


async def later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("function", [pieces, later])
def test_a_result_in_pieces_is_described_as_a_list(function: Any) -> None:
    content = describe(function, name="f")["paths"]["/model"]["post"]["responses"]["200"]["content"]
    whole = content["application/json"]["schema"]["properties"]["result"]
    assert whole == {"type": "array", "items": {"type": "integer"}}
    piece, last, error = content["application/x-ndjson"]["schema"]["contentSchema"]["anyOf"]
    assert piece["properties"] == {"result": {"type": "integer"}}
    assert "request_id" in last["required"]
    assert "Errors" in error["$ref"]
    assert content["text/event-stream"]["schema"]["contentSchema"] == {"type": "integer"}


def test_a_whole_result_is_described_as_json_alone() -> None:
    content = describe(max, name="f")["paths"]["/model"]["post"]["responses"]["200"]["content"]
    assert list(content) == ["application/json"]


NUMPY = """Tell.

Parameters
----------
x : float
    The length.
y
    The width,
    in cm.

Returns
-------
z : no parameter
"""
SPHINX = """Tell.

:param x: The length.
:param float y: The width,
    in cm.
:returns: nothing
"""


@pytest.mark.parametrize("text", [NUMPY, SPHINX])
def test_parameters_are_told_of_in_other_manners_too(text: str) -> None:
    def told(x: float, y: float, z: float = 0) -> None: ...

    told.__doc__ = text
    properties = request(describe(told, name="f"))["oneOf"][0]["properties"]["data"]["properties"]
    assert properties["x"] == {"type": "number", "description": "The length."}
    assert properties["y"] == {"type": "number", "description": "The width, in cm."}
    assert properties["z"] == {"type": "number", "default": 0}


def yields(x):  # type: ignore[no-untyped-def]  # nothing but its body tells
    yield x


async def yields_later(x):  # type: ignore[no-untyped-def]
    yield x


class Yields:
    def __call__(self, x: float) -> Iterable[int]:
        yield 1


@pytest.mark.parametrize("function", [yields, yields_later, Yields()])
def test_a_generator_is_a_stream_whatever_its_annotation(function: Any) -> None:
    content = describe(function, name="f")["paths"]["/model"]["post"]["responses"]["200"]["content"]
    assert set(content) == {"application/json", "application/x-ndjson", "text/event-stream"}
    items = content["application/json"]["schema"]["properties"]["result"]["items"]
    assert items == ({"type": "integer"} if isinstance(function, Yields) else {})
