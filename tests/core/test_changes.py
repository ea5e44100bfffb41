"""What a change changed: before and after, of settings, of descriptions and of who has access."""

from __future__ import annotations

import pytest

from services.core import events
from services.core.changes import CHANGING, TELLING, Difference, differences
from services.core.events import CollaboratorKind, Entry, Event, ModelRole
from services.core.ids import AggregateId, EventId
from services.core.redaction import HASHES, redacted
from tests.makers import MODEL_ID, PERSON, START, History, create

ANN, BOB = AggregateId("1" * 24), AggregateId("2" * 24)


def entry(revision: int, event: Event) -> Entry:
    return Entry(
        id=EventId(f"e.{revision}"),
        at=START,
        actor=PERSON,
        aggregate="any",
        aggregate_id=MODEL_ID,
        revision=revision,
        event=event,  # type: ignore[arg-type]  # every event is one
    )


def invited(person: AggregateId, role: ModelRole) -> Event:
    return events.CollaboratorSet(collaborator_id=person, kind=CollaboratorKind.PERSON, name="x", role=role)


@pytest.mark.parametrize(
    ("history", "before", "after"),
    [
        ([invited(ANN, ModelRole.VIEWER)], {}, {f"collaborators.{ANN}": "Viewer"}),
        (
            [invited(ANN, ModelRole.VIEWER), events.CollaboratorRemoved(collaborator_id=ANN)],
            {f"collaborators.{ANN}": "Viewer"},
            {f"collaborators.{ANN}": None},
        ),
        (
            [
                events.OrganisationCreated(name="o", owner_id=ANN),
                events.MemberSet(person_id=BOB, is_owner=False),
                events.MemberSet(person_id=BOB, is_owner=True),
            ],
            {f"members.{BOB}": "member"},
            {f"members.{BOB}": "owner"},
        ),
        (
            [
                events.PersonAdded(user_name="a", email="old", full_name="A", is_administrator=False),
                events.PersonDescribed(email="new", full_name="A"),
            ],
            {"email": "old"},
            {"email": "new"},
        ),
        (
            [
                events.EnvironmentRevised(revision_id="r", number=1, requirements="flask"),
                events.EnvironmentRevised(revision_id="s", number=2, requirements="numpy"),
            ],
            {"requirements": "flask"},
            {"requirements": "numpy"},
        ),
        ([events.PersonEnabled(), events.PersonDisabled()], {"is_disabled": False}, {"is_disabled": True}),
    ],
    ids=["invited", "removed", "member", "described", "revised", "disabled"],
)
def test_the_last_change_tells_what_was_so_before_it(
    history: list[Event], before: dict[str, object], after: dict[str, object]
) -> None:
    found = differences(entry(number, event) for number, event in enumerate(history, start=1))
    assert found[len(history)] == Difference(before=before, after=after)


def test_an_owner_who_hands_over_becomes_an_editor() -> None:
    handed = events.OwnershipTransferred(owner_id=BOB, previous_id=ANN, previous_name="ann")
    created = History(create(owner_id=ANN)).entries
    found = differences([*created, entry(len(created) + 1, handed)])
    assert found[len(created) + 1] == Difference(
        before={"owner_id": ANN}, after={"owner_id": BOB, f"collaborators.{ANN}": "Editor"}
    )


def test_every_change_tells_something() -> None:
    assert set(CHANGING) < set(TELLING)


@pytest.mark.parametrize("kind", [events.AccessTokenCreated, events.ApiKeyAdded, events.SignedIn])
def test_a_hash_of_a_secret_stays_where_it_is_recorded(kind: type[Event]) -> None:
    known = {"token_id": "t", "key_id": "k", "session_id": "s", "name": "n", "expires_at": START}
    known |= {"method": events.SignInMethod.PASSWORD, **dict.fromkeys(HASHES, "secret")}
    event = kind(**{name: value for name, value in known.items() if name in kind.__struct_fields__})
    assert "secret" in repr(event)
    assert "secret" not in repr(redacted(entry(1, event)))


def test_no_event_has_a_hash_of_a_secret_by_another_name() -> None:
    named = {name for kind in events.Event.__subclasses__() for name in kind.__struct_fields__ if "hash" in name}
    assert named == set(HASHES)
