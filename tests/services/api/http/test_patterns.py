"""Searching names: which regular expressions are taken, and that none of them takes long."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.http.patterns import regular_expression
from services.core.errors import Invalid
from services.core.names import MAX_NAME

PIECES = st.sampled_from([".*", ".", "(a|a)", "(|a)", "(.*|a.*)", "a", "b", "[ab]", "^", "$", "|", "(", ")"])


@pytest.mark.parametrize("text", ["iris", "^(A|b)", "^iris.*v[0-9]$", r"v1\.2", r"\(old\)", "[^a-z ]", "naïve", "a b"])
def test_what_people_search_with_is_taken_as_it_is(text: str) -> None:
    assert regular_expression(text) == text


@pytest.mark.parametrize("text", ["(a+)+$", "a*", "a{1,99}", "a?", "(?i)a", r"(a)\1", r"\d", "[[a]]", "[a-", "a" * 101])
@pytest.mark.parametrize("around", ["{}", "^{}$", ".*{}.*"])
def test_what_repeats_or_means_something_else_elsewhere_is_refused(text: str, around: str) -> None:
    with pytest.raises(Invalid, match="name must be at most 100 characters of a regular expression that repeats"):
        regular_expression(around.replace("{}", text))


@pytest.mark.parametrize("text", ["(", "a)", "[z-a]"])
def test_what_is_no_regular_expression_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="name must be a regular expression, and is not"):
        regular_expression(text)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_nothing_that_is_taken_keeps_an_engine_busy(text: str) -> None:
    try:
        taken = regular_expression(text)
    except Invalid:
        return
    began = time.process_time()
    re.search(f"{taken}", "a" * MAX_NAME)
    assert time.process_time() - began < 0.5


def test_the_worst_that_is_taken_is_quick_too() -> None:
    worst = "(a|a)" * 5 + ".*a.*ab"
    began = time.process_time()
    assert re.search(str(regular_expression(worst)), "a" * MAX_NAME) is None
    assert time.process_time() - began < 0.5
