"""Resource quotas: never changed, never deleted, one default at most; a model has their numbers copied."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.core.aggregates import QUOTAS, entries, fold
from services.core.commands import ChangeQuota, CreateQuota, QuotaCommand
from services.core.errors import Invalid, NotFound, Refused
from services.core.ids import CommandId
from services.core.quota import MAX_QUOTAS, QUOTAS_ID, Quotas, decide, taken
from services.core.settings import MEBIBYTE, Settings
from tests.makers import PERSON, START


def making(quota_id: str, **changes: object) -> CreateQuota:
    made = CreateQuota(
        quota_id=quota_id,
        name=f"quota {quota_id}",
        cpu_requested=0.5,
        cpu_limit=1.0,
        memory_requested_bytes=128 * MEBIBYTE,
        memory_limit_bytes=256 * MEBIBYTE,
    )
    return replace(made, **changes)


def after(*commands: QuotaCommand, start: Quotas | None = None) -> Quotas:
    """As api's ledger would fold them."""
    state = start
    for number, command in enumerate(commands, start=1):
        fresh = entries(
            "quotas",
            QUOTAS_ID,
            decide(state, command),
            after_revision=state.revision if state else 0,
            command_id=CommandId(f"command-{number}"),
            at=START,
            actor=PERSON,
        )
        state = fold(QUOTAS, fresh, state)
    return state or Quotas()


def test_a_new_quota_is_visible_and_not_the_default() -> None:
    (quota,) = after(making("a")).items
    assert (quota.is_visible, quota.is_default, quota.memory_limit_bytes) == (True, False, 256 * MEBIBYTE)
    assert after(making("a")).default is None


def test_making_the_same_quota_twice_makes_one() -> None:
    assert len(after(making("a"), making("a")).items) == 1


def test_a_name_is_given_once_also_when_its_quota_is_hidden() -> None:
    hidden = after(making("a"), ChangeQuota(quota_id="a", is_visible=False))
    with pytest.raises(Refused, match="there is already a resource quota named 'quota a'"):
        decide(hidden, making("b", name="quota a"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"memory_limit_bytes": 1}, "memory_bytes must be between"),
        ({"memory_requested_bytes": 512 * MEBIBYTE}, "memory_requested_bytes must be at most its limit"),
        ({"cpu_requested": 2.0}, "cpu_requested must be at most its limit, 1, got 2"),
        ({"cpu_limit": -1.0}, "cpu_limit must be between"),
    ],
)
def test_numbers_that_no_model_may_have_are_refused(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence):
        decide(None, making("a", **changes))


def test_there_is_an_end_to_quotas() -> None:
    full = after(*(making(str(number)) for number in range(MAX_QUOTAS)))
    with pytest.raises(Refused, match="no more can be made"):
        decide(full, making("one more"))


def test_choosing_a_default_takes_that_from_the_other_in_one_decision() -> None:
    one = after(making("a"), making("b"), ChangeQuota(quota_id="a", is_default=True))
    assert [type(event).__name__ for event in decide(one, ChangeQuota(quota_id="b", is_default=True))] == [
        "QuotaChanged",
        "QuotaChanged",
    ]
    other = after(ChangeQuota(quota_id="b", is_default=True), start=one)
    assert [(quota.id, quota.is_default) for quota in other.items] == [("a", False), ("b", True)]
    none = after(ChangeQuota(quota_id="b", is_default=False), start=other)
    assert none.default is None


def test_what_is_so_already_changes_nothing() -> None:
    assert decide(after(making("a")), ChangeQuota(quota_id="a", is_visible=True)) == ()
    assert decide(after(making("a")), ChangeQuota(quota_id="a")) == ()


def test_the_default_is_never_hidden() -> None:
    default = after(making("a"), ChangeQuota(quota_id="a", is_default=True))
    with pytest.raises(Refused, match="cannot be hidden and the default at once"):
        decide(default, ChangeQuota(quota_id="a", is_visible=False))
    hidden = after(ChangeQuota(quota_id="a", is_visible=False, is_default=False), start=default)
    with pytest.raises(Refused, match="cannot be hidden and the default at once"):
        decide(hidden, ChangeQuota(quota_id="a", is_default=True))


def test_a_quota_that_is_not_there_cannot_be_changed() -> None:
    with pytest.raises(NotFound, match="there is no resource quota a"):
        decide(None, ChangeQuota(quota_id="a"))


def test_a_model_has_the_numbers_of_its_quota_copied() -> None:
    settings = taken(Settings(), after(making("a")).quota("a"))
    assert (settings.quota_id, settings.memory_bytes, settings.cpu_limit) == ("a", 256 * MEBIBYTE, 1.0)
    assert (settings.memory_requested_bytes, settings.cpu_requested) == (128 * MEBIBYTE, 0.5)


def test_a_hidden_quota_is_kept_by_those_who_have_it_and_chosen_by_nobody() -> None:
    quotas = after(making("a"))
    has_it = taken(Settings(), quotas.quota("a"))
    hidden = after(ChangeQuota(quota_id="a", is_visible=False), start=quotas).quota("a")
    assert taken(has_it, hidden) == has_it
    with pytest.raises(Refused, match="resource quota 'quota a' is hidden and cannot be chosen any more"):
        taken(Settings(), hidden)


flags = st.sampled_from([None, True, False])
commands = st.builds(making, st.sampled_from("abc")) | st.builds(
    ChangeQuota, quota_id=st.sampled_from("abc"), is_visible=flags, is_default=flags
)


@given(st.lists(commands, max_size=12))
def test_whatever_is_asked_there_is_one_default_at_most_and_it_is_visible(asked: list[QuotaCommand]) -> None:
    state = Quotas()
    for command in asked:
        try:
            state = after(command, start=state)
        except (Refused, NotFound):
            continue
        assert sum(quota.is_default for quota in state.items) <= 1
        assert state.default is None or state.default.is_visible
