"""How a request's body becomes a call, or one message."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness.binding import Binding, DoesNotFit

Function = Callable[..., object]


def score(x: object, y: object) -> object:
    return x, y


def with_default(x: object, y: object = 2) -> object:
    return x, y


def nothing() -> object:
    return None


def anything(*args: object, **kwargs: object) -> object:
    return args, kwargs


def rest(x: object, *args: object) -> object:
    return x, args


def named_rest(x: object, **kwargs: object) -> object:
    return x, kwargs


def by_position(x: object, /, y: object) -> object:
    return x, y


def by_position_and_any_name(x: object = 1, /, **kwargs: object) -> object:
    return x, kwargs


def by_name(x: object, *, y: object, z: object = 3) -> object:
    return x, y, z


@functools.wraps(score)
def decorated(*args: object, **kwargs: object) -> object:
    return score(*args, **kwargs)


class Model:
    def predict(self, x: object) -> object:
        return x

    def __call__(self, x: object, y: object) -> object:
        return x, y


FUNCTIONS: list[Function] = [
    score,
    with_default,
    nothing,
    anything,
    rest,
    named_rest,
    by_position,
    by_position_and_any_name,
    by_name,
    decorated,
    Model().predict,
    Model(),
    functools.partial(by_name, y=1),
    functools.lru_cache(with_default),
]


def refusal(function: Function, document: object) -> str:
    with pytest.raises(DoesNotFit) as refused:
        Binding("predict", function).bind(document)
    return str(refused.value)


def result(function: Function, document: object) -> object:
    call = Binding("predict", function).bind(document)
    return function(*call.positional, **(call.named or {}))


def test_data_becomes_named_arguments() -> None:
    assert result(score, {"data": {"y": 2, "x": 1}}) == (1, 2)


def test_parameters_become_positional_arguments() -> None:
    assert result(score, {"parameters": [1, {"deep": 2}]}) == (1, {"deep": 2})


def test_other_keys_beside_data_are_ignored() -> None:
    assert result(score, {"data": {"x": 1, "y": 2}, "client": "official"}) == (1, 2)


def test_named_arguments_beyond_the_signature_go_to_kwargs() -> None:
    assert result(named_rest, {"data": {"x": 1, "y": 2, "z": 3}}) == (1, {"y": 2, "z": 3})


def test_a_null_beside_the_other_counts_as_absent() -> None:
    assert result(score, {"data": None, "parameters": [1, 2]}) == (1, 2)


@pytest.mark.parametrize(
    ("function", "document", "message"),
    [
        (score, {"data": {"x": 1}}, "predict() missing 1 required argument: 'y'"),
        (score, {"data": {}}, "predict() missing 2 required arguments: 'x' and 'y'"),
        (score, {"parameters": []}, "predict() missing 2 required arguments: 'x' and 'y'"),
        (score, {"data": {"x": 1, "y": 2, "z": 3}}, "predict() got 1 unexpected argument: 'z'"),
        (
            score,
            {"data": {"x": 1, "Y": 2}},
            "predict() missing 1 required argument: 'y' and got 1 unexpected argument: 'Y'",
        ),
        (score, {"parameters": [1, 2, 3]}, "predict() takes 2 arguments but 3 were given"),
        (with_default, {"parameters": [1, 2, 3]}, "predict() takes from 1 to 2 arguments but 3 were given"),
        (nothing, {"parameters": [1]}, "predict() takes 0 arguments but 1 was given"),
        (
            by_position,
            {"data": {"x": 1, "y": 2}},
            'predict() takes \'x\' by position only: send "parameters" instead of "data"',
        ),
        (
            by_name,
            {"parameters": [1]},
            'predict() takes \'y\' by name only: send "data" instead of "parameters"',
        ),
        (decorated, {"data": {}}, "predict() missing 2 required arguments: 'x' and 'y'"),
        (
            score,
            {"data": {}, "parameters": []},
            'the body has both "data" and "parameters"; send one of them',
        ),
        (score, {"data": [1, 2]}, '"data" must be an object of named arguments, not a list'),
        (score, {"parameters": {"x": 1}}, '"parameters" must be a list of arguments, not an object'),
        (score, [1, 2], 'the body must be a JSON object with "data" or "parameters", not a list'),
    ],
)
def test_a_body_that_does_not_fit_is_told_what_to_change(function: Function, document: object, message: str) -> None:
    assert refusal(function, document) == message


@pytest.mark.parametrize("document", [{}, {"x": 1, "y": 2}, {"data": None}])
def test_a_body_without_arguments_is_told_where_they_go(document: object) -> None:
    assert refusal(score, document).startswith('the body must have "data"')


def test_a_message_stays_short_however_many_names_are_wrong() -> None:
    message = refusal(nothing, {"data": {f"{'n' * 500}{number}": 0 for number in range(1000)}})
    assert "992 more" in message
    assert len(message) < 1000


def test_a_function_that_cannot_tell_its_signature_is_called_with_what_comes() -> None:
    assert Binding("max", max).bind({"parameters": [1, 2]}).positional == (1, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
NAMES = st.sampled_from(["x", "y", "z", "self", "args", "kwargs"]) | st.text()
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "data": st.dictionaries(NAMES, JSON, max_size=4) | JSON,
        "parameters": st.lists(JSON, max_size=4) | JSON,
        "other": JSON,
    },
)


@given(function=st.sampled_from(FUNCTIONS), document=JSON | NEAR)
def test_every_document_gives_a_call_that_fits_or_one_message(function: Function, document: object) -> None:
    try:
        call = Binding("predict", function).bind(document)
    except DoesNotFit as refused:
        assert str(refused)  # noqa: PT017  # one of two right outcomes
    else:
        # Python's own binding is the judge: `inspect` in 3.11 refuses a name that is positional only and in **kwargs.
        inspect.unwrap(function)(*call.positional, **(call.named or {}))


@given(function=st.sampled_from(FUNCTIONS), data=st.dictionaries(NAMES, JSON, max_size=4))
def test_names_are_refused_only_when_python_would_refuse_them(function: Function, data: dict[str, object]) -> None:
    try:
        Binding("predict", function).bind({"data": data})
    except DoesNotFit:
        with pytest.raises(TypeError):
            inspect.signature(function).bind(**data)


@given(function=st.sampled_from(FUNCTIONS), values=st.lists(JSON, max_size=4))
def test_values_are_refused_only_when_python_would_refuse_them(function: Function, values: list[object]) -> None:
    try:
        Binding("predict", function).bind({"parameters": values})
    except DoesNotFit:
        with pytest.raises(TypeError):
            inspect.signature(function).bind(*values)
