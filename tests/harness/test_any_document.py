"""Any JSON document against any signature: a call that fits or one message, never anything else."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from inspect import Parameter, Signature
from typing import Any, Literal, NamedTuple, TypedDict
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modelway_harness.binding import Binding, Call, DoesNotFit
from modelway_harness.decoding import NotReadable, decode
from modelway_harness.encoding import encode
from modelway_harness.openapi import describe

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


@dataclass
class Row:
    age: int
    share: float = 0.5
    colours: list[Colour] = field(default_factory=list)


@dataclass
class Picky:
    x: int

    def __post_init__(self) -> None:
        if self.x % 2:
            raise LookupError(f"no {self.x}")


class Point(NamedTuple):
    x: float
    y: float | None = None


class Options(TypedDict, total=False):
    depth: int
    label: str


class Kind(NamedTuple):
    """An annotation, and JSON that fits it."""

    annotation: Any
    fitting: st.SearchStrategy[Any]


def kind(annotation: Any, fitting: st.SearchStrategy[Any]) -> st.SearchStrategy[Kind]:
    return st.just(Kind(annotation, fitting))


WHOLE = st.integers(-(10**30), 10**30)
REAL = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | REAL | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy") | st.text(), inner, max_size=3),
    max_leaves=8,
)
LEAVES = st.one_of(
    kind(Any, JSON),
    kind("never.Heard[of]", JSON),
    kind(int, WHOLE | st.integers(-9, 9).map(float)),
    kind(float, REAL | st.integers(-(10**300), 10**300)),
    kind(str, st.text() | st.just("\ud800")),
    kind(bool, st.booleans()),
    kind(None, st.none()),
    kind(Colour, st.sampled_from(["red", 2])),
    kind(Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    kind(date, st.dates().map(date.isoformat)),
    kind(datetime, st.datetimes(timezones=st.just(None) | st.timezones()).map(datetime.isoformat)),
    kind(time, st.times().map(time.isoformat)),
    kind(timedelta, st.integers(-(10**9), 10**9)),
    kind(Decimal, st.decimals(allow_nan=False, allow_infinity=False).map(str) | REAL | WHOLE),
    kind(UUID, st.uuids().map(str)),
    kind(bytes, st.binary().map(lambda held: json.loads(encode(held)))),
    kind(Row, st.fixed_dictionaries({"age": WHOLE}, optional={"colours": st.lists(st.just("red"), max_size=2)})),
    kind(Picky, st.integers(-9, 9).map(lambda x: {"x": 2 * x})),
    kind(Point, st.fixed_dictionaries({"x": REAL}, optional={"y": REAL}) | st.lists(REAL, min_size=2, max_size=2)),
    kind(Options, st.fixed_dictionaries({}, optional={"depth": WHOLE, "label": st.text()})),
    kind(set[int], st.lists(WHOLE, max_size=3)),
)


def around(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    return st.one_of(
        inner.map(lambda k: Kind(list[k.annotation], st.lists(k.fitting, max_size=3))),  # type: ignore[name-defined]
        inner.map(lambda k: Kind(tuple[k.annotation, ...], st.lists(k.fitting, max_size=3))),  # type: ignore[name-defined]
        inner.map(lambda k: Kind(dict[str, k.annotation], st.dictionaries(st.text(), k.fitting, max_size=3))),  # type: ignore[name-defined]
        st.tuples(inner, inner).map(
            lambda both: Kind(
                tuple[both[0].annotation, both[1].annotation],  # type: ignore[misc]
                st.tuples(both[0].fitting, both[1].fitting).map(list),
            )
        ),
    )


KINDS = st.recursive(LEAVES, around, max_leaves=4)


@st.composite
def signatures(draw: st.DrawFn) -> tuple[Callable[..., object], list[tuple[Parameter, Kind]]]:
    """A function with one of all signatures that Python allows, whose parameters are annotated with anything."""
    order = (
        Parameter.POSITIONAL_ONLY,
        Parameter.POSITIONAL_OR_KEYWORD,
        Parameter.VAR_POSITIONAL,
        Parameter.KEYWORD_ONLY,
        Parameter.VAR_KEYWORD,
    )
    drawn = sorted(draw(st.lists(st.sampled_from(order), max_size=5)), key=order.index)
    kinds = [
        each for at, each in enumerate(drawn) if at == 0 or each != drawn[at - 1] or each not in (order[2], order[4])
    ]
    parameters = []
    has_default = False
    for name, each in zip(("x", "y", "z", "v", "w"), kinds, strict=False):
        of = draw(KINDS)
        may_have = each not in (order[2], order[4])
        if may_have and each is not Parameter.KEYWORD_ONLY:
            has_default = has_default or draw(st.booleans())
        with_default = may_have and (draw(st.booleans()) if each is Parameter.KEYWORD_ONLY else has_default)
        default = draw(st.sampled_from([None, 1])) if with_default else Parameter.empty
        parameters.append((Parameter(name, each, default=default, annotation=of.annotation), of))

    def predict(*args: object, **kwargs: object) -> object:
        return args, kwargs

    predict.__signature__ = Signature([p for p, _ in parameters])  # type: ignore[attr-defined]
    predict.__annotations__ = {p.name: of.annotation for p, of in parameters}
    return predict, parameters


def documents(parameters: list[tuple[Parameter, Kind]]) -> st.SearchStrategy[Any]:
    """Documents that fit, or nearly, or not at all."""
    named = {p.name: of.fitting for p, of in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    placed = [of.fitting for p, of in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    any_named = {name: fitting | JSON for name, fitting in named.items()}
    by_name = st.fixed_dictionaries(named) | st.fixed_dictionaries({}, optional=any_named | {"more": JSON})
    by_place = st.tuples(*placed).map(list) | st.tuples(*[fitting | JSON for fitting in placed], JSON).map(list)
    return (
        st.fixed_dictionaries({"data": by_name})
        | st.fixed_dictionaries({"parameters": by_place})
        | st.fixed_dictionaries({}, optional={"data": JSON, "parameters": JSON})
        | JSON
    )


@UNHURRIED
@given(data=st.data(), function=signatures())
def test_every_document_gives_a_call_or_one_message(
    data: st.DataObject, function: tuple[Callable[..., object], list[tuple[Parameter, Kind]]]
) -> None:
    predict, parameters = function
    document = data.draw(documents(parameters))
    before = json.dumps(document)
    try:
        call = Binding("predict", predict).bind(document)
    except DoesNotFit as refused:
        assert 10 < len(str(refused)) < 2000  # noqa: PT017  # one of two right outcomes
    else:
        encode(predict(*call.positional, **(call.named or {})))
    assert json.dumps(document) == before


@UNHURRIED
@given(data=st.data(), of=KINDS)
def test_what_fits_is_taken_and_comes_back_as_the_same_again(data: st.DataObject, of: Kind) -> None:
    def predict(x: Any) -> None: ...

    predict.__annotations__["x"] = of.annotation
    binding = Binding("predict", predict)
    taken = binding.bind({"data": {"x": data.draw(of.fitting)}})
    assert taken.named is not None
    again = binding.bind(decode(b'{"data": %b}' % encode(taken.named).encode()))
    assert again == taken
    by_place = binding.bind({"parameters": [json.loads(encode(taken.named["x"]))]})
    assert by_place == Call(positional=(taken.named["x"],))


@UNHURRIED
@given(function=signatures())
def test_every_signature_can_be_described(function: tuple[Callable[..., object], Any]) -> None:
    text = json.dumps(describe(function[0], name="predict"), allow_nan=False)
    assert "#/$defs" not in text


@UNHURRIED
@given(function=signatures(), body=st.binary(max_size=40) | JSON.map(lambda held: json.dumps(held).encode()))
def test_every_body_is_read_bound_or_refused(function: tuple[Callable[..., object], Any], body: bytes) -> None:
    try:
        Binding("predict", function[0]).bind(decode(body))
    except (NotReadable, DoesNotFit) as refused:
        assert str(refused)  # noqa: PT017  # one of two right outcomes


def nested(depth: int) -> list[Any]:
    held: list[Any] = []
    for _ in range(depth):
        held = [held]
    return held


@UNHURRIED
@given(of=KINDS, depth=st.sampled_from([900, 10_000]))
def test_what_is_nested_deeply_is_a_call_or_one_message(of: Kind, depth: int) -> None:
    def predict(x: Any) -> None: ...

    predict.__annotations__["x"] = of.annotation
    try:
        Binding("predict", predict).bind({"parameters": [nested(depth)]})
    except DoesNotFit as refused:
        assert len(str(refused)) < 1000  # noqa: PT017  # one of two right outcomes
