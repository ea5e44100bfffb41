"""What a model says of itself, read for people: from the documents that the Python harness makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from modelway import Client, Description
from modelway.errors import NotFound
from modelway_harness.binding import Binding
from modelway_harness.forms import Form, Named
from modelway_harness.openapi import describe as document_of
from modelway_harness.whole import TakesWhole

from tests.client.conftest import Run
from tests.client.stand_in import StandIn
from tests.client.wire import Wire


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


def open_ended(x: float, *rest: int, **more: str) -> None: ...


class Scoring(TakesWhole):
    """As a model of MLflow: a table, as one row, as columns, or under one of the words of its protocol."""

    def __init__(self) -> None:
        row = {"type": "object", "properties": {"petal cm": {"type": "number"}}, "required": ["petal cm"]}
        rows = {"type": "array", "items": Named("Row", lambda: row)}
        under_word = {"type": "object", "properties": {"instances": rows}, "required": ["instances"]}
        ways = [{"anyOf": [{**row, "additionalProperties": False}, {"type": "object"}]}, under_word]
        self.takes = Form(None, "an object", schema=lambda: {"type": "object", "anyOf": ways})
        self.gives = {"type": "array"}

    def __call__(self, *args: Any, **named: Any) -> object:
        return []


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


def test_of_a_body_that_can_be_written_in_several_ways_the_first_with_names_is_told() -> None:
    description = read(Scoring())
    assert [(each.name, each.type, each.is_required) for each in description.parameters] == [
        ("petal cm", "number", True)
    ]
    assert description.example == {"data": {"petal cm": 0.0}}


def test_what_takes_any_number_more_is_told_by_position_and_by_name() -> None:
    described = [(each.name, each.type, each.is_required, each.is_many) for each in read(open_ended).parameters]
    assert described == [
        ("x", "number", True, False),
        ("*", "whole number", False, True),
        ("**", "text", False, True),
    ]
    assert [(each.name, each.type) for each in read(pieces).parameters] == [("**", "whole number")]
    assert not [each for each in read(predict).parameters if each.is_many]


def untold(x, y):  # type: ignore[no-untyped-def]
    return x + y


def moments(on: date, at: datetime, after: time, by: UUID, price: Decimal, blob: bytes) -> None: ...


@pytest.mark.parametrize("function", [predict, placed, pieces, open_ended, untold, moments])
def test_a_call_that_is_made_of_the_types_fits_the_function(function: Callable[..., object]) -> None:
    assert Binding("predict", function).bind(read(function).example)


def test_a_function_that_says_nothing_is_given_numbers_to_begin_with() -> None:
    assert read(untold).example == {"data": {"x": 0, "y": 0}}


def test_a_format_of_a_number_is_not_taken_for_that_of_a_text() -> None:
    class Count(Scoring):
        def __init__(self) -> None:
            super().__init__()
            fields = {"of": {"type": "integer", "format": "int32"}}
            self.takes = Form(None, "an object", schema={"type": "object", "properties": fields})

    assert [each.type for each in read(Count()).parameters] == ["whole number"]


def test_a_body_of_ways_that_lead_to_themselves_is_read() -> None:
    around = {"$ref": "#/components/schemas/Around"}
    media = {"application/json": {"schema": {"properties": {"data": around}}}}
    document = {
        "info": {"title": "f", "version": "1"},
        "paths": {"/model": {"post": {"requestBody": {"content": media}}}},
        "components": {"schemas": {"Around": {"anyOf": [around] * 40}}},
    }
    assert Description.read(document).parameters == ()


def test_describe_has_no_default_for_what_takes_any_number_more(run: Run, publish: Run, stand_in: StandIn) -> None:
    publish()
    stand_in.people.documents["latest"] = document_of(open_ended, name="predict", version="3")
    lines = run("describe", "iris").stdout.splitlines()
    assert "*          whole number           Any number of further ones, by position." in lines
    assert "**         text                   Any further ones, by their names." in lines


def test_publish_and_show_print_a_call_that_the_function_takes(run: Run, publish: Run, stand_in: StandIn) -> None:
    stand_in.people.documents["latest"] = document_of(predict, name="predict", version="3")
    takes = """-d '{"data": {"flowers": [{"length": 0.0}]}}'"""
    assert takes in publish().stdout
    assert takes in run("show", "iris").stdout
    stand_in.people.may_see_settings = False
    assert 'modelway invoke iris \'{"data": {"flowers": [{"length": 0.0}]}}\'' in run("show", "iris").stdout


def test_a_version_that_does_not_run_is_not_asked_for_a_call(run: Run, publish: Run, wire: Wire) -> None:
    assert """-d '{"parameters": []}'""" in publish().stdout
    run("stop", "iris")
    wire.asked.clear()
    assert """-d '{"parameters": []}'""" in run("show", "iris").stdout
    assert wire.count("GET", "/openapi.json") == 0


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
