"""What a model says of itself, read for people: from the documents that the Python harness makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import pytest
from modelway import Client, Description
from modelway.errors import NotFound
from modelway_harness.openapi import describe as document_of

from tests.client.conftest import Run
from tests.client.stand_in import StandIn


@dataclass
class Flower:
    """A flower."""

    length: float
    colour: Literal["red", "blue"] = "red"
    around: list[Flower] = field(default_factory=list)


def predict(flowers: list[Flower], day: date | None = None, *, top: int = 3) -> list[str]:
    """Tell the species.

    By its length.

    Args:
        flowers: What was found.
        top: How many.
    """
    return []


def placed(x: float, y: Any = 2, /) -> float:
    return x


def pieces(**more: int) -> Iterator[int]:
    yield from more.values()


def read(function: Callable[..., object], **told: str) -> Description:
    return Description.read(json.loads(json.dumps(document_of(function, name="predict", version="3", **told))))


def test_the_parameters_are_told_with_their_types_defaults_and_words() -> None:
    description = read(predict)
    assert (description.function, description.version, description.summary) == ("predict", "3", "Tell the species.")
    assert [(each.name, each.type, each.is_required, each.default, each.text) for each in description.parameters] == [
        ("flowers", "list of Flower", True, None, "What was found."),
        ("day", "text (date) or null", False, None, ""),
        ("top", "whole number", False, 3, "How many."),
    ]
    assert description.result == "list of text"


def test_the_example_is_the_one_of_the_publish_or_is_made_of_the_types() -> None:
    given = read(predict, example='{"data": {"flowers": []}}')
    assert (given.example, given.is_example_made) == ({"data": {"flowers": []}}, False)
    made = read(predict)
    assert (made.example, made.is_example_made) == ({"data": {"flowers": [{"length": 0.0}]}}, True)
    assert read(placed).example == {"parameters": [0.0]}
    assert [(each.name, each.is_required) for each in read(placed).parameters] == [("x", True), ("y", False)]
    assert (read(pieces).example, read(pieces).result) == ({"data": {}}, "list of whole number")


def test_a_document_that_says_less_is_read_too() -> None:
    bare = {"info": {"title": "f", "version": "1"}, "paths": {"/model": {"post": {}}}}
    description = Description.read(bare)
    assert (description.parameters, description.result, description.summary) == ((), "anything", "")


def test_describe_prints_what_the_function_takes_and_a_call_to_try(run: Run, publish: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.people.documents["prod"] = document_of(predict, name="predict", version="3")
    told = run("describe", "iris", "--label", "prod")
    assert told.exit_code == 0, told.output
    assert told.stdout == (
        "predict(), version 3 of iris\n\n"
        "Tell the species.\n\n"
        "By its length.\n\n"
        "PARAMETER  TYPE                 DEFAULT\n"
        "flowers    list of Flower                What was found.\n"
        "day        text (date) or null  = null\n"
        "top        whole number         = 3      How many.\n\n"
        "gives: list of text\n\n"
        "an example to be filled in:\n"
        'modelway invoke iris \'{"data": {"flowers": [{"length": 0.0}]}}\' --label prod\n'
    )
    assert json.loads(run("describe", "iris", "--label", "prod", "--json").stdout) == stand_in.people.documents["prod"]


def test_what_cannot_be_described_is_told_once(client: Client, publish: Run) -> None:
    publish()
    with pytest.raises(NotFound):
        client.describe("nobody")
