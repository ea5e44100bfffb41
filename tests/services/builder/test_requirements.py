"""What a person may ask for in a requirements file, and how a lock keeps to the hashes given there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from services.builder.requirements import Wanted, locked_versions, narrowed, parse_requirements
from services.core.errors import Invalid

ONE, TWO, THREE = (f"sha256:{digit * 64}" for digit in "123")


def texts(text: str) -> list[str]:
    return [wanted.text for wanted in parse_requirements(text)]


def test_plain_requirements_with_comments_markers_and_extras_are_kept_in_order() -> None:
    text = "\ufeff# mine\r\nnumpy>=2,<3 # fast\r\n\r\npandas[excel]==2.*; python_version >= '3.11'\r\nsix"
    assert texts(text) == ["numpy<3,>=2", 'pandas[excel]==2.*; python_version >= "3.11"', "six"]


def test_nothing_asks_for_nothing() -> None:
    assert texts("") == texts("\n# only words\n   \n") == []


def test_a_backslash_continues_a_line_and_hashes_are_kept() -> None:
    (wanted,) = parse_requirements(f"six==1.17.0 \\\n    --hash={ONE} \\\n    --hash {TWO}  # both\n")
    assert wanted == Wanted(text="six==1.17.0", name="six", hashes=frozenset({ONE, TWO}))


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("--index-url https://user:secret@host/simple", "is an option"),
        ("-i https://host/simple", "is an option"),
        ("--extra-index-url=https://host", "is an option"),
        ("-r other.txt", "is an option"),
        ("-c constraints.txt", "is an option"),
        ("-e .", "is an option"),
        ("--find-links /wheels", "is an option"),
        ("--no-binary :all:", "is an option"),
        ("https://host/six.whl", "names an address"),
        ("file:///tmp/six.whl", "names an address"),
        ("file:six.whl", "names an address"),
        ("git+https://host/six", "names an address"),
        ("six @ https://host/six.whl", "names an address"),
        ("six @ file:six.whl", "names an address"),
        (".", "is a path"),
        ("./six", "is a path"),
        ("../six", "is a path"),
        ("/wheels/six", "is a path"),
        ("~/six", "is a path"),
        ("six-1.17.0-py3-none-any.whl", "is a path"),
        ("C:\\six", "is a path"),
        ("six==", "is not a requirement"),
        ("six 1.17", "is not a requirement"),
        ("six; evil == '1'", "is not a requirement"),
        ("$(id)", "is not a requirement"),
        ("six --config-settings x=y", "is not a requirement"),
        ("six==1 --hash=md5:abc", "has a hash"),
        ("a" * 3000, "is longer"),
    ],
)
def test_anything_else_is_refused_with_its_line_and_what_is_allowed(line: str, what: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_requirements(f"numpy\n\n{line}\nsix")
    assert "requirements line 3: " in caught.value.reason
    assert what in caught.value.reason
    assert "allowed are package names" in caught.value.reason
    assert "secret" not in caught.value.reason
    assert "\n" not in caught.value.reason


def test_a_refusal_names_the_first_line_of_a_continued_one() -> None:
    with pytest.raises(Invalid, match="requirements line 2: "):
        parse_requirements("six\nnumpy==\\\n!!\n")


def test_the_platforms_own_package_cannot_be_asked_for() -> None:
    with pytest.raises(Invalid, match="'modelway-harness' is installed by the platform"):
        parse_requirements("Modelway_Harness", own=frozenset({"modelway-harness"}))


def test_too_much_is_refused() -> None:
    with pytest.raises(Invalid, match="longer than 256 kB"):
        parse_requirements("# x\n" * 100_000)
    with pytest.raises(Invalid, match="more than 5000 lines"):
        parse_requirements("\n" * 6000 + "six")


def test_a_line_of_blanks_as_long_as_may_be_is_read_at_once() -> None:
    assert texts(" " * 200_000 + "six" + " " * 50_000) == ["six"]


@given(st.text(alphabet=st.sampled_from("six=<>!~.*[],;@#-\\/ \n'\"():+hash14file$"), max_size=60))
def test_whatever_is_let_through_is_a_plain_requirement_and_says_the_same_again(text: str) -> None:
    try:
        wanted = parse_requirements(text)
    except Invalid:
        return
    for one in wanted:
        assert Requirement(one.text).url is None
        assert "\n" not in one.text
        assert not one.text.startswith("-")
    assert parse_requirements("\n".join(one.text for one in wanted)) == tuple(
        Wanted(text=one.text, name=one.name) for one in wanted
    )


LOCK = (
    f"flask==3.1.3 \\\n    --hash={ONE} \\\n    --hash={TWO}\nsix==1.17.0 \\\n    --hash={TWO} \\\n    --hash={THREE}\n"
)


def test_a_lock_holds_no_other_hash_than_the_given_ones() -> None:
    wanted = parse_requirements(f"six --hash={THREE} --hash={ONE}\nflask")
    assert narrowed(LOCK, wanted) == LOCK.replace(f"    --hash={TWO} \\\n    --hash={THREE}", f"    --hash={THREE}")


def test_a_lock_without_given_hashes_is_as_it_is() -> None:
    assert narrowed(LOCK, parse_requirements("six\nflask")) == LOCK


def test_a_hash_that_no_wheel_has_is_a_reason_to_fail() -> None:
    with pytest.raises(Invalid, match=r"requirement 'six==1\.17\.0' does not resolve: no wheel .* hashes"):
        narrowed(LOCK, parse_requirements(f"six --hash={ONE}"))


def test_the_versions_in_a_lock_can_be_listed() -> None:
    assert locked_versions(LOCK) == ["flask==3.1.3", "six==1.17.0"]
