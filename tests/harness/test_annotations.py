"""What an annotation of a parameter does to the value that comes for it."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, TypedDict, TypeVar
from uuid import UUID

import pytest
from modelway_harness.binding import Binding, DoesNotFit

T = TypeVar("T")
Age = NewType("Age", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Level(enum.Enum):
    LOW = 1

    @classmethod
    def _missing_(cls, value: object) -> Level:
        return cls.LOW if value == 0 else None  # type: ignore[return-value]


@dataclass
class Row:
    age: int
    name: str = "?"


@dataclass
class Table:
    rows: list[Row]
    by_name: dict[str, Row] = field(default_factory=dict)


@dataclass
class Tree:
    value: int
    children: list[Tree] = field(default_factory=list)


@dataclass
class Adult:
    age: int
    factor: InitVar[float] = 1.0

    def __post_init__(self, factor: float) -> None:
        if self.age * factor < 18:
            raise ValueError("too young")


@dataclass
class Box(Generic[T]):
    held: T


class Point(NamedTuple):
    x: float
    y: float = 0.0


class Options(TypedDict):
    depth: int
    label: NotRequired[str]


class Unknown:
    pass


ID = UUID("0b6f4e1e-6d5c-4d51-9f9e-2c63f2a2c001")

FITS: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (int, 3.0, 3),
    (float, 2.5, 2.5),
    (float, 2, 2.0),
    (str, "a", "a"),
    (bool, True, True),
    (None, None, None),
    (Any, {"x": [1]}, {"x": [1]}),
    (object, [1], [1]),
    (Unknown, {"x": 1}, {"x": 1}),
    ("no_such.Name", "x", "x"),
    ("1 +", "x", "x"),
    (list, [1, "a"], [1, "a"]),
    (list[int], [1, 2.0], [1, 2]),
    (list[float], [1, 2.5], [1.0, 2.5]),
    (list["Row"], [{"age": 1}], [Row(1)]),
    (Sequence[str], ["a"], ["a"]),
    (dict, {"a": 1}, {"a": 1}),
    (dict[str, float], {"a": 1}, {"a": 1.0}),
    (dict[int, str], {"7": "a"}, {7: "a"}),
    (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
    (Mapping[str, Any], {"a": 1}, {"a": 1}),
    (tuple, [1, "a"], (1, "a")),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[float, ...], [1, 2], (1.0, 2.0)),
    (set[int], [1, 1, 2], {1, 2}),
    (frozenset, ["a"], frozenset({"a"})),
    (int | None, None, None),
    (int | None, 4.0, 4),
    (int | str, "4", "4"),
    (int | float, 4.5, 4.5),
    (float | int, 4, 4),
    (list[int] | int, [4], [4]),
    (Row | Tree, {"value": 4}, Tree(4)),
    (Literal["a", 1], 1, 1),
    (Age, 3.0, 3),
    (Annotated[int, "years"], 3.0, 3),
    (Colour, "red", Colour.RED),
    (Size, 2, Size.LARGE),
    (Level, 0, Level.LOW),
    (Row, {"age": 3.0}, Row(3)),
    (Table, {"rows": [{"age": 1}], "by_name": {"x": {"age": 2}}}, Table([Row(1)], {"x": Row(2)})),
    (Tree, {"value": 1, "children": [{"value": 2}]}, Tree(1, [Tree(2)])),
    (Adult, {"age": 9, "factor": 2}, Adult(9, 2.0)),
    (Box[int], {"held": "x"}, Box("x")),
    (Point, {"x": 1}, Point(1.0, 0.0)),
    (Point, [1, 2], Point(1.0, 2.0)),
    (Options, {"depth": 2.0}, {"depth": 2}),
    (datetime, "2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (date, "2026-01-02", date(2026, 1, 2)),
    (time, "03:04", time(3, 4)),
    (timedelta, 1.5, timedelta(seconds=1.5)),
    (Decimal, "0.10", Decimal("0.10")),
    (Decimal, 0.1, Decimal("0.1")),
    (UUID, str(ID), ID),
    (bytes, "aGk=", b"hi"),
    (Path, "a/b", Path("a/b")),
]

REFUSED: list[tuple[Any, Any, str]] = [
    (int, "3", "data.x must be a whole number, not text"),
    (int, 3.5, "data.x must be a whole number, not 3.5"),
    (int, True, "data.x must be a whole number, not true"),
    (int, None, "data.x must be a whole number, not null"),
    (int, 1e300, "data.x must be a whole number with all its digits, not 1e+300"),
    (float, "3", "data.x must be a number, not text"),
    (float, False, "data.x must be a number, not false"),
    (float, 10**400, "data.x is larger than the numbers that a computer calculates with (1.8e308)"),
    (str, 3, "data.x must be text, not 3"),
    (bool, 1, "data.x must be true or false, not 1"),
    (list, {}, "data.x must be a list, not an object"),
    (list[int], [1, "a"], "data.x[1] must be a whole number, not text"),
    (dict[str, int], {"a b": []}, 'data.x["a b"] must be a whole number, not a list'),
    (dict[int, str], {"a": "b"}, "data.x has the key 'a', which must be a whole number"),
    (dict[int, str], {"1": "a", "01": "b"}, "data.x has two keys that mean the same"),
    (tuple[int, str], [1], "data.x must be a list of 2 values, not of 1"),
    (tuple[int, str], [1, 2], "data.x[1] must be text, not 2"),
    (set[Any], [[1]], "data.x must be a list of values that can be told apart, so of no lists or objects"),
    (int | None, "a", "data.x must be a whole number or null, not text"),
    (date | None, "soon", "data.x must be a date as ISO 8601 text or null, not 'soon'"),
    (int | str | None, [], "data.x must be a whole number, text or null, not a list"),
    (Row | Tree, {"age": "1"}, "data.x.age must be a whole number, not text"),
    (Literal["a", 1], True, "data.x must be 'a' or 1, not true"),
    (Colour, "green", "data.x must be 'red' or 'blue', not 'green'"),
    (Size, True, "data.x must be 1 or 2, not true"),
    (Level, 7, "data.x was refused by Level: ValueError: 7 is not a valid Level"),
    (Row, [], "data.x must be an object, not a list"),
    (Row, {"name": "a"}, "data.x is without 'age'"),
    (Row, {"age": 1, "agee": 2}, "data.x has 'agee', which it must not (it takes 'age' and 'name')"),
    (Table, {"rows": [{"age": 1}, {"age": "2"}]}, "data.x.rows[1].age must be a whole number, not text"),
    (Adult, {"age": 3}, "data.x was refused by Adult: ValueError: too young"),
    (Point, [1, 2, 3], "data.x must be a list of 2 values, not of 3"),
    (Point, 3, "data.x must be an object or a list, not 3"),
    (Options, {"label": "a"}, "data.x is without 'depth'"),
    (datetime, "soon", "data.x must be a date and time as ISO 8601 text, not 'soon'"),
    (timedelta, 1e30, "data.x is a longer time than can be counted"),
    (Decimal, "NaN", "data.x must be a number, or text with one, not 'NaN'"),
    (UUID, "1", "data.x must be a UUID as text, not '1'"),
    (bytes, "é", "data.x must be bytes as base64 text, not 'é'"),
]


def annotated(annotation: Any) -> Callable[..., Any]:
    def predict(x: Any) -> Any:
        return x

    predict.__annotations__["x"] = annotation
    return predict


def result(function: Callable[..., Any], document: object) -> Any:
    call = Binding("predict", function).bind(document)
    return function(*call.positional, **(call.named or {}))


def refusal(function: Callable[..., Any], document: object) -> str:
    with pytest.raises(DoesNotFit) as refused:
        Binding("predict", function).bind(document)
    return str(refused.value)


@pytest.mark.parametrize(("annotation", "value", "expected"), FITS)
def test_a_value_that_fits_is_converted(annotation: Any, value: Any, expected: Any) -> None:
    made = result(annotated(annotation), {"data": {"x": value}})
    assert made == expected
    assert type(made) is type(expected)


@pytest.mark.parametrize(("annotation", "value", "message"), REFUSED)
def test_a_value_that_does_not_is_refused_with_its_place(annotation: Any, value: Any, message: str) -> None:
    assert refusal(annotated(annotation), {"data": {"x": value}}) == message


def test_annotations_as_text_are_resolved_where_the_function_is_at_home() -> None:
    def predict(rows: list[Row], limit: int = None) -> object:  # type: ignore[assignment]  # noqa: RUF013  # people do
        return rows, limit

    assert result(predict, {"data": {"rows": [{"age": 1}], "limit": None}}) == ([Row(1)], None)
    assert refusal(predict, {"data": {"rows": [{"age": None}]}}).startswith("data.rows[0].age must be a whole number")


def test_arguments_by_position_are_told_by_place_and_name() -> None:
    def predict(age: int, /, *more: float, unit: str = "y") -> object:
        return age, more, unit

    assert result(predict, {"parameters": [1.0, 2, 3]}) == (1, (2.0, 3.0), "y")
    assert refusal(predict, {"parameters": [1, 2, "3"]}) == "parameters[2] must be a number, not text (argument 'more')"


def test_the_rest_of_the_names_is_converted_as_kwargs_say() -> None:
    def predict(x: str, **weights: float) -> object:
        return x, weights

    assert result(predict, {"data": {"x": "a", "b": 1}}) == ("a", {"b": 1.0})
    assert refusal(predict, {"data": {"x": "a", "b c": "1"}}) == 'data["b c"] must be a number, not text'
    wrong = {f"w{at}": "1" for at in range(30, 0, -1)}
    assert refusal(predict, {"data": {"x": "a", **wrong}}) == "data.w30 must be a number, not text"


class Model:
    def __call__(self, x: int) -> int:
        return x

    def method(self, x: int) -> int:
        return x

    @classmethod
    def of_class(cls, x: int) -> int:
        return x


def plain(x: int, y: int = 0) -> int:
    return x


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any:
    return plain(*args, **kwargs)


@pytest.mark.parametrize(
    "function",
    [Model(), Model().method, Model.of_class, wrapped, functools.partial(plain, y=1), functools.lru_cache(plain)],
)
def test_whatever_can_be_called_has_its_annotations_read(function: Callable[..., Any]) -> None:
    assert result(function, {"data": {"x": 3.0}}) == 3
    assert refusal(function, {"data": {"x": "3"}}) == "data.x must be a whole number, not text"


def test_the_document_itself_is_left_as_it_came() -> None:
    document = {"data": {"x": [1, 2.0]}}
    assert result(annotated(list[int]), document) == [1, 2]
    assert document == {"data": {"x": [1, 2.0]}}


def test_what_converting_raises_deep_inside_is_one_message() -> None:
    document: dict[str, Any] = {"value": 1}
    for _ in range(5000):
        document = {"value": 1, "children": [document]}
    assert refusal(annotated(Tree), {"data": {"x": document}}) == "the arguments are nested too deeply"


def test_a_class_that_exits_while_it_is_made_is_a_refusal() -> None:
    @dataclass
    class Leaves:
        def __post_init__(self) -> None:
            raise SystemExit(3)

    assert refusal(annotated(Leaves), {"data": {"x": {}}}) == "data.x was refused by Leaves: SystemExit: 3"


@dataclass
class Flower:
    sepal_cm: float
    petal_cm: float


def test_the_example_of_the_documentation_is_true() -> None:
    def predict(flowers: list[Flower], top: int = 3) -> list[str]:
        return []

    text = (Path(__file__).resolve().parents[2] / "docs" / "functions.md").read_text()
    message = refusal(predict, {"data": {"flowers": [{"sepal_cm": 5.1, "petal_cm": "1.4"}]}})
    assert f'{{"errors": ["{message}"]' in text
