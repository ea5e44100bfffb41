"""How what uv prints becomes one sentence. The texts are what uv 0.13 prints."""

from __future__ import annotations

import pytest

from services.builder.requirements import parse_requirements
from services.builder.resolution import resolution_error
from services.core.errors import BuildFailed, Unavailable

OWN = parse_requirements("flask>=3.1\ngunicorn>=27")
HEAD = "error: No solution found when resolving dependencies\n  cause: "
END = "we can conclude that your requirements are unsatisfiable.\n"


def reason(requirements: str, cause: str) -> str:
    error = resolution_error(HEAD + cause + END, 1, parse_requirements(requirements), OWN)
    assert isinstance(error, BuildFailed)
    assert "\n" not in error.reason
    return error.reason


def test_a_version_that_is_not_there() -> None:
    assert reason("numpy\nsix==99", "Because there is no version of six==99 and you require six==99, ") == (
        "requirement 'six==99' does not resolve: there is no version of six==99"
    )
    assert reason("numpy>=3", "Because only numpy<=2.5.5 is available and you require numpy>=3, ") == (
        "requirement 'numpy>=3' does not resolve: only numpy<=2.5.5 is available"
    )


def test_a_package_that_is_not_there() -> None:
    cause = "Because nosuch-thing was not found in the package registry and you require nosuch-thing, "
    assert reason("six\nNoSuch_Thing", cause) == (
        "requirement 'NoSuch_Thing' does not resolve: the package index has no package named 'nosuch-thing'"
    )


def test_a_package_without_wheels() -> None:
    cause = "Because all versions of docopt have no usable wheels and you require docopt, "
    assert reason("docopt", cause) == (
        "requirement 'docopt' does not resolve: it has no ready-made wheel for this Python and platform, "
        "and source distributions are not built"
    )


def test_two_requirements_that_contradict_each_other() -> None:
    assert reason("six==1.17.0\nsix==1.16.0", "Because you require six==1.17.0 and six==1.16.0, ") == (
        "requirements 'six==1.17.0', 'six==1.16.0' do not resolve together: they contradict each other"
    )
    cause = (
        "Because scipy==1.17.0 depends on numpy>=1.26.4,<2.7 and you require scipy==1.17.0, we can conclude that "
        "you require numpy>=1.26.4,<2.7.\n         And because you require numpy<1.20, "
    )
    assert reason("scipy==1.17.0\nnumpy<1.20", cause) == (
        "requirements 'scipy==1.17.0', 'numpy<1.20' do not resolve together: "
        "scipy==1.17.0 depends on numpy>=1.26.4,<2.7"
    )


def test_a_requirement_that_contradicts_the_platforms_own() -> None:
    assert reason("flask<2", "Because you require flask<2 and flask>=3.1, ") == (
        "requirement 'flask<2' does not resolve: they contradict each other (the platform itself needs 'flask>=3.1')"
    )
    cause = (
        "Because flask>=3.1.0 depends on werkzeug>=3.1 and you require werkzeug<2, we can conclude that your "
        "requirements and flask>=3.1.0 are incompatible.\n         And because you require flask>=3.1, "
    )
    assert reason("werkzeug<2", cause) == (
        "requirement 'werkzeug<2' does not resolve: flask>=3.1.0 depends on werkzeug>=3.1 "
        "(the platform itself needs 'flask>=3.1')"
    )


def test_hints_and_addresses_do_not_get_into_the_sentence() -> None:
    cause = "Because six was not found in the package registry and you require six, " + END
    output = f"{HEAD}{cause}\nhint: try https://index.example/simple"
    error = resolution_error(output, 1, parse_requirements("six"), OWN)
    assert "example" not in error.reason


def test_words_of_an_unknown_form_still_make_a_sentence() -> None:
    error = resolution_error(HEAD + "the stars are wrong", 1, parse_requirements("six"), OWN)
    assert error.reason == "the requirements do not resolve: the stars are wrong"


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("error: Failed to fetch: http://host/six/\n  cause: tcp connect error", "does not answer"),
        ("error: Failed to fetch: http://host/six/\n  cause: HTTP status server error (503)", "does not answer"),
        (
            f"{HEAD}Because six was not found in the package registry and you require six, {END}\nhint: An index URL "
            "(http://host/) could not be queried due to a lack of valid authentication credentials (401 Unauthorized)",
            "refuses the platform's credentials",
        ),
        (f"{HEAD}{END}\nhint: Packages were unavailable because the network was disabled.", "disabled"),
        ("error: No space left on device (os error 28)", "ended with 2"),
    ],
)
def test_what_is_not_the_requirements_fault_may_be_tried_again(output: str, words: str) -> None:
    error = resolution_error(output, 2, parse_requirements("six"), OWN)
    assert isinstance(error, Unavailable)
    assert words in error.reason
    assert "host" not in error.reason
