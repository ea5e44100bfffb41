"""How bytes become a document: what JSON leaves open, and what nobody should send."""

from __future__ import annotations

import json
from math import isinf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness.decoding import NotReadable, decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def refusal(body: bytes) -> str:
    with pytest.raises(NotReadable) as refused:
        decode(body)
    return str(refused.value)


@given(document=JSON, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]), escaped=st.booleans())
def test_json_in_any_of_its_encodings_is_read(document: Any, encoding: str, escaped: bool) -> None:
    body = json.dumps(document, ensure_ascii=escaped).encode(encoding, "surrogatepass")
    assert decode(body) == document


@given(
    body=st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE.+-nutrflasI \\', max_size=60).map(str.encode)
)
def test_any_bytes_give_a_document_or_one_message(body: bytes) -> None:
    try:
        decode(body)
    except NotReadable as refused:
        assert str(refused).startswith("the body ")  # noqa: PT017  # one of two right outcomes


@pytest.mark.parametrize("number", ["1e400", "-1E+400", "1" * 400 + ".0", "0.1e99999999999"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_number_that_no_float_can_hold_is_refused(number: str, encoding: str) -> None:
    message = refusal(f'{{"data": {{"x": [0, {number}]}}}}'.encode(encoding))
    assert message.startswith("the body holds ")
    assert message.endswith("which is larger than the numbers that a computer calculates with (1.8e308)")
    assert len(message) < 180


@pytest.mark.parametrize("number", ["1e308", "1e-400", "1" * 400, "0." + "1" * 400, "1E000005"])
def test_other_long_numbers_are_read_as_python_reads_them(number: str) -> None:
    assert decode(number.encode()) == json.loads(number)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
def test_every_number_is_the_one_that_python_reads(number: str) -> None:
    expected = json.loads(number)
    if isinstance(expected, float) and isinf(expected):
        refusal(number.encode())
    else:
        assert repr(decode(number.encode())) == repr(expected)


def test_a_whole_number_with_more_digits_than_python_reads_is_refused() -> None:
    assert refusal(b"[" + b"1" * 5001 + b"]") == "the body holds a whole number of more than 4300 digits"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_only_python_writes_is_refused(constant: str) -> None:
    assert (
        refusal(constant.encode()) == f"the body is not JSON: it holds {constant}, which JSON does not have; send null"
    )


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_document_that_is_nested_too_deeply_is_refused(opening: bytes) -> None:
    assert refusal(opening * 100_000) == "the body is nested too deeply"


def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    assert decode(b'{"x": 1, "x": 2}') == {"x": 2}


def test_half_a_surrogate_pair_is_text() -> None:
    assert decode(b'["\\ud800"]') == ["\ud800"]


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_nothing_at_all_is_told_what_to_send(body: bytes) -> None:
    assert refusal(body) == 'the body is empty; send a JSON object with "data" or "parameters"'
