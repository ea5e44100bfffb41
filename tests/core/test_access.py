"""The permission table: complete, and what the contract says row by row."""

from __future__ import annotations

import pytest

from services.core.access import SEEN_FROM, TABLE, Action, Kind, Standing, Verdict, judge, who_may

ACTIONS = pytest.mark.parametrize("action", list(Action), ids=str)

YES, NO = True, False
ROWS = [  # of the contract: Viewer, Editor, Editor who is also a collaborator of the project, Owner
    (Action.VIEW, YES, YES, YES, YES),
    (Action.VIEW_LOGS, YES, YES, YES, YES),
    (Action.VIEW_SETTINGS, NO, YES, YES, YES),
    (Action.CHANGE_SETTINGS, NO, YES, YES, YES),
    (Action.PUBLISH_VERSION, NO, NO, YES, YES),
    (Action.INVOKE, YES, YES, YES, YES),
    (Action.VIEW_AUDIT, NO, YES, YES, YES),
    (Action.SEE_TOKENS, NO, YES, YES, YES),
    (Action.CREATE_TOKEN, NO, YES, YES, YES),
    (Action.RUN_VERSION, NO, YES, YES, YES),
    (Action.ARCHIVE_MODEL, NO, NO, NO, YES),
    (Action.REGENERATE_TOKEN, NO, NO, NO, YES),
    (Action.REVOKE_TOKEN, NO, NO, NO, YES),
    (Action.SHARE_MODEL, NO, NO, NO, YES),
]


@pytest.mark.parametrize(("action", "viewer", "editor", "publisher", "owner"), ROWS, ids=[str(row[0]) for row in ROWS])
def test_a_row_of_the_contract(action: Action, *, viewer: bool, editor: bool, publisher: bool, owner: bool) -> None:
    standings = (Standing.VIEWER, Standing.EDITOR, Standing.PUBLISHER, Standing.OWNER)
    allowed = tuple(judge(standing, action) is Verdict.ALLOWED for standing in standings)
    assert allowed == (viewer, editor, publisher, owner)


def test_the_rows_are_all_there_is_to_do_to_a_model() -> None:
    assert {row[0] for row in ROWS} == {action for action, (kind, _) in TABLE.items() if kind is Kind.MODEL}


def test_a_visitor_of_a_public_model_may_look_at_it_and_nothing_else() -> None:
    allowed = [action for action, *_ in ROWS if judge(Standing.VISITOR, action) is Verdict.ALLOWED]
    assert allowed == [Action.VIEW]


def test_the_table_says_it_of_every_action_and_every_kind_of_thing() -> None:
    assert TABLE.keys() == set(Action)
    assert SEEN_FROM.keys() == set(Kind) == {kind for kind, _ in TABLE.values()}


@ACTIONS
def test_who_may_more_may_all_that_who_may_less(action: Action) -> None:
    verdicts = [judge(standing, action) for standing in sorted(Standing)]
    order = [Verdict.HIDDEN, Verdict.REFUSED, Verdict.ALLOWED]
    assert verdicts == sorted(verdicts, key=order.index)


@ACTIONS
def test_an_owner_may_everything(action: Action) -> None:
    assert judge(Standing.OWNER, action) is Verdict.ALLOWED


@ACTIONS
def test_a_stranger_may_do_nothing_and_is_not_even_told_what_there_is_but_the_platform(action: Action) -> None:
    expected = Verdict.REFUSED if TABLE[action][0] is Kind.PLATFORM else Verdict.HIDDEN
    assert judge(Standing.STRANGER, action) is expected


@ACTIONS
def test_who_may_has_words_of_its_own_for_every_action_that_not_everybody_may(action: Action) -> None:
    kind, least = TABLE[action]
    common = "anyone with an account"
    by_whom = who_may(action)
    assert by_whom
    has_visitors = kind in (Kind.PLATFORM, Kind.PERSON, Kind.ORGANISATION, Kind.MODEL, Kind.ENVIRONMENT)
    is_for_all = least <= (Standing.VISITOR if has_visitors else Standing.FINDER)
    assert (by_whom == common) is is_for_all


@pytest.mark.parametrize(
    ("standing", "allowed"),
    [
        (Standing.FINDER, {Action.FIND_PROJECT}),
        (Standing.VISITOR, {Action.FIND_PROJECT, Action.VIEW_FILES}),
        (Standing.VIEWER, {Action.FIND_PROJECT, Action.VIEW_FILES, Action.PUBLISH_FILES}),
        (
            Standing.EDITOR,
            {action for action, (kind, _) in TABLE.items() if kind is Kind.PROJECT} - {Action.SHARE_PROJECT},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Standing) else "",
)
def test_what_may_be_done_to_a_project(standing: Standing, allowed: set[Action]) -> None:
    of_projects = [action for action, (kind, _) in TABLE.items() if kind is Kind.PROJECT]
    assert {action for action in of_projects if judge(standing, action) is Verdict.ALLOWED} == allowed
