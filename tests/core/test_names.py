"""Which names people may give."""

from __future__ import annotations

import os.path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.errors import Invalid
from services.core.names import (
    check_environment_name,
    check_function,
    check_model_name,
    check_project_name,
    check_token_name,
    check_user_name,
    check_variables,
)


@pytest.mark.parametrize("name", ["iris", "churn-2024", "a", "A.b_c", "0", "x" * 100])
def test_a_plain_name_is_fine_for_projects_and_people(name: str) -> None:
    assert check_project_name(name) == name
    assert check_user_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", ".git", "-x", "a b", "a/b", "é", "a\n", "x" * 101, "a\0", "\u0661"])
def test_what_cannot_be_a_folder_is_no_name_of_a_project_or_a_person(name: str) -> None:
    with pytest.raises(Invalid, match=r"^name must be 1 to 100 letters, digits"):
        check_project_name(name)
    with pytest.raises(Invalid, match=r"^userName must be 1 to 100 letters, digits"):
        check_user_name(name)


@given(st.text())
def test_a_project_name_that_passes_is_one_folder_in_its_parent(name: str) -> None:
    try:
        check_project_name(name)
    except Invalid:
        return
    assert os.path.normpath(os.path.join("/mnt/ada", name)) == f"/mnt/ada/{name}"
    assert os.path.dirname(f"/mnt/ada/{name}") == "/mnt/ada"


@pytest.mark.parametrize("check", [check_model_name, check_environment_name, check_token_name])
@pytest.mark.parametrize("name", ["Iris", "Qui part ?", "花", "x" * 100, "a/b"])
def test_what_is_only_shown_may_be_any_printable_text(check, name: str) -> None:  # type: ignore[no-untyped-def]
    assert check(name) == name


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\tb", "a\0b", "\u202eevil", "\ud800", "x" * 101])
def test_what_does_not_show_as_it_is_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match=r"^name must be 1 to 100 printable characters") as refused:
        check_model_name(name)
    assert refused.value.reason.isprintable()


@pytest.mark.parametrize("name", ["predict", "_f", "f1", "été"])
def test_a_function_is_named_by_an_identifier(name: str) -> None:
    assert check_function(name) == name


@pytest.mark.parametrize("name", ["", "1f", "a.b", "f()", "class", "None", "a b", "f\n", "x" * 101])
def test_a_function_is_not_named_by_anything_else(name: str) -> None:
    with pytest.raises(Invalid, match=r"^function must be the plain name of a function"):
        check_function(name)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ([("1A", "")], "environmentVariables[0].key is not one"),
        ([("A", ""), ("B=secret", "")], "environmentVariables[1].key is not one"),
        ([("", "")], "environmentVariables[0].key is not one"),
        ([("A", "1"), ("A", "2")], "A occurs twice"),
        ([("A", "secret\0")], "the value of A must have at most 32768 bytes and no NUL in it"),
        ([("A", "s" * 32769)], "the value of A must have at most 32768 bytes"),
        ([(f"A{n}", "") for n in range(501)], "at most 500 variables, got 501"),
        ([(f"A{n}", "s" * 32000) for n in range(10)], "at most 262144 bytes in all"),
    ],
)
def test_variables_that_no_process_could_have_are_refused_without_their_values(
    variables: list[tuple[str, str]], sentence: str
) -> None:
    with pytest.raises(Invalid) as refused:
        check_variables(variables)
    assert sentence in refused.value.reason
    assert refused.value.reason.startswith("environmentVariables")
    assert "secret" not in refused.value.reason
    assert "sss" not in refused.value.reason


def test_variables_are_kept_in_their_order() -> None:
    assert check_variables(iter([("B", "1"), ("A", "")])) == (("B", "1"), ("A", ""))
