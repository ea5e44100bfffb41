"""What is said about a body that does not fit: the field, what was wrong, what is allowed."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.http.body import Body, decode, in_words
from services.core.errors import Invalid


class Inner(Body, frozen=True, kw_only=True):
    size_bytes: int


class Outer(Body, frozen=True, kw_only=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
    is_on: bool = False
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    parts: Annotated[tuple[Inner, ...], msgspec.Meta(max_length=2)] = ()


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (b"{}", "name is required"),
        (b'{"name": 1}', "name must be text, got a whole number"),
        (b'{"name": ""}', "name must have at least 1 characters"),
        (b'{"name": "abcdef"}', "name must have at most 5 characters"),
        (b'{"name": "a", "isOn": "yes"}', "isOn must be true or false, got text"),
        (b'{"name": "a", "share": []}', "share must be a number or null, got a list"),
        (b'{"name": "a", "share": 0}', "share must be more than 0.0"),
        (b'{"name": "a", "share": 2}', "share must be at most 1.0"),
        (b'{"name": "a", "share": 1e999}', "share: number out of range"),
        (b'{"name": "a", "parts": [{"sizeBytes": 1}, {}]}', "parts[1].sizeBytes is required"),
        (b'{"name": "a", "parts": [{"sizeBytes": 1.5}]}', "parts[0].sizeBytes must be a whole number, got a number"),
        (b'{"name": "a", "parts": [{}, {}, {}]}', "parts"),
        (b"[]", "the body must be an object, got a list"),
        (b"3", "the body must be an object, got a whole number"),
        (b"", "the body is empty, and must be a JSON object"),
        (b"{", "the body is not JSON in UTF-8"),
        (b"\xff", "the body is not JSON in UTF-8"),
        (b'{"x": ' + b"[" * 50_000, "the body is nested too deep"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_body_that_does_not_fit_is_refused_in_plain_words(raw: bytes, sentence: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode(raw, Outer)
    assert refused.value.reason.startswith(sentence)


def test_unknown_fields_are_left_aside() -> None:
    assert decode(b'{"name": "a", "later": {"deep": [1]}}', Outer) == Outer(name="a")


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_invalid(raw: bytes) -> None:
    with pytest.raises(Invalid):
        decode(raw, Outer)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["name", "isOn", "share", "parts"]), inner),
        max_leaves=8,
    )
)
def test_no_json_raises_anything_but_invalid_with_a_sentence(value: object) -> None:
    reason = ""
    try:
        decode(msgspec.json.encode(value), Outer)
    except Invalid as error:
        reason = error.reason
    assert "`" not in reason
    assert "$" not in reason


def test_a_complaint_nobody_foresaw_is_passed_on() -> None:
    assert in_words("Something new - at `$.a.b`") == ("a.b", "a.b: something new")
