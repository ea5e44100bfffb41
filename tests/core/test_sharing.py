"""Who a model is shared with, and which access tokens it has, by example."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.core.commands import (
    ArchiveModel,
    CreateAccessToken,
    RegenerateAccessToken,
    RemoveCollaborator,
    RevokeAccessToken,
    SetCollaborator,
    SetRestriction,
    SetVisibility,
    ShowAccessToken,
    TransferOwnership,
)
from services.core.errors import NotFound, Refused
from services.core.events import CollaboratorKind, ModelRole
from services.core.ids import AggregateId
from services.core.past import live
from services.core.records import Route
from services.core.sharing import MAX_COLLABORATORS
from services.core.wanted import wanted
from tests.makers import MODEL_ID, PERSON, History, create

GRACE, LAB = AggregateId("1" * 24), AggregateId("2" * 24)


def invite(who: AggregateId = GRACE, role: ModelRole = ModelRole.EDITOR, name: str = "grace") -> SetCollaborator:
    return SetCollaborator(collaborator_id=who, kind=CollaboratorKind.PERSON, name=name, role=role)


def token(number: int = 1, name: str = "app", *, is_internal: bool = False) -> CreateAccessToken:
    return CreateAccessToken(token_id=f"t{number}", name=name, token_hash=f"h{number}", is_internal=is_internal)


def route(history: History) -> Route:
    body = wanted(history.state, deployer_id="local")[f"routes/{MODEL_ID}"].body
    assert isinstance(body, Route)
    return body


def test_a_model_is_private_and_restricted_unless_it_is_made_otherwise() -> None:
    assert (History().state.is_public, History().state.is_restricted) == (False, True)
    made = History(create(is_public=True, is_restricted=False)).state
    assert (made.is_public, made.is_restricted) == (True, False)


def test_visibility_changes_nothing_at_the_routers_and_restriction_does() -> None:
    history = History()
    before = route(history)
    history.do(SetVisibility(is_public=True))
    assert history.state.is_public
    assert replace(route(history), revision=0) == replace(before, revision=0)
    history.do(SetRestriction(is_restricted=False))
    assert (route(history).is_restricted, route(history).revision) == (False, history.state.revision)


def test_what_is_so_already_is_no_event() -> None:
    history = History().do(invite())
    count = len(history.entries)
    history.do(SetVisibility(is_public=False), SetRestriction(is_restricted=True), invite())
    history.do(TransferOwnership(owner_id=AggregateId(PERSON.id), previous_name="ada"))
    assert len(history.entries) == count


def test_a_collaborator_has_the_last_role_they_were_given() -> None:
    history = History().do(invite(role=ModelRole.VIEWER), invite(LAB, name="lab"), invite(role=ModelRole.OWNER))
    assert [(each.name, each.role) for each in history.state.collaborators] == [("lab", "Editor"), ("grace", "Owner")]
    history.do(RemoveCollaborator(collaborator_id=GRACE))
    assert [each.id for each in history.state.collaborators] == [LAB]
    with pytest.raises(NotFound):
        history.do(RemoveCollaborator(collaborator_id=GRACE))


def test_the_owner_needs_no_role() -> None:
    with pytest.raises(Refused, match="ada owns model 'iris' and needs no role in it"):
        History().do(invite(AggregateId(PERSON.id), name="ada"))


def test_a_new_owner_has_no_role_beside_it_and_the_one_before_stays_as_an_editor() -> None:
    history = History().do(invite(), TransferOwnership(owner_id=GRACE, previous_name="ada"))
    assert history.state.owner_id == GRACE
    assert [(each.id, each.name, each.role) for each in history.state.collaborators] == [(PERSON.id, "ada", "Editor")]


def test_collaborators_are_bounded_and_those_there_are_can_still_be_changed() -> None:
    history = History().do(*(invite(AggregateId(f"{n:024x}"), name=f"p{n}") for n in range(MAX_COLLABORATORS)))
    with pytest.raises(Refused, match="invite an organisation"):
        history.do(invite(name="one too many"))
    history.do(invite(AggregateId(f"{1:024x}"), ModelRole.VIEWER))


@pytest.mark.parametrize(
    "command",
    [
        SetVisibility(is_public=True),
        SetRestriction(is_restricted=False),
        invite(LAB),
        TransferOwnership(owner_id=GRACE, previous_name="ada"),
        token(9, "late"),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_archived_model_is_shared_no_further(command: SetVisibility) -> None:
    with pytest.raises(Refused, match="archived"):
        History().do(ArchiveModel(), command)


def test_who_leaves_may_leave_an_archived_model_too() -> None:
    history = History().do(invite(), ArchiveModel(), RemoveCollaborator(collaborator_id=GRACE))
    assert history.state.collaborators == ()


def test_the_platforms_own_token_opens_the_model_and_is_nowhere_else() -> None:
    history = History().do(token(1), token(2, "internal", is_internal=True))
    assert route(history).token_hashes == ("h1", "h2")
    assert [each.id for each in history.state.listed_tokens] == ["t1"]
    assert [each.id for each in live(history.state).tokens] == ["t1"]
    for command in (
        ShowAccessToken(token_id="t2"),
        RegenerateAccessToken(token_id="t2", token_hash="mine"),
        RevokeAccessToken(token_id="t2"),
    ):
        with pytest.raises(NotFound):
            history.do(command)


def test_the_platform_has_one_token_whatever_people_call_theirs() -> None:
    history = History().do(token(1, "internal"), token(2, "internal", is_internal=True))
    history.do(token(3, "internal", is_internal=True), token(4, "app"))
    assert [(each.id, each.is_internal) for each in history.state.tokens] == [
        ("t1", False),
        ("t2", True),
        ("t4", False),
    ]
    with pytest.raises(Refused, match="already has an access token named 'internal'"):
        history.do(token(5, "internal"))
