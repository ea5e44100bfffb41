"""Who may do what."""

from __future__ import annotations

import pytest

from services.core.access import Action, may
from services.core.ids import AggregateId
from services.core.person import Person
from tests.makers import START


def person(*, is_administrator: bool) -> Person:
    return Person(
        id=AggregateId("a" * 24),
        revision=1,
        user_name="ada",
        email="",
        full_name="",
        is_administrator=is_administrator,
        created_at=START,
    )


@pytest.mark.parametrize("action", list(Action))
def test_an_administrator_may_do_everything(action: Action) -> None:
    assert may(person(is_administrator=True), action)


@pytest.mark.parametrize("action", list(Action))
def test_anyone_else_may_only_look(action: Action) -> None:
    assert may(person(is_administrator=False), action) is (action is Action.VIEW)
