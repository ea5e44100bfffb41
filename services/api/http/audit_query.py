"""This file reads what of the history is asked for: who, what, when, and from where on; or one sentence why not."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import get_args

from aiohttp import web

from services.api.http.body import EPOCH, FARTHEST_MS
from services.api.http.query import Instant, PlainText
from services.api.http.views import milliseconds
from services.api.ports import EntryQuery, Place, Store, place_of
from services.core.errors import Invalid
from services.core.events import AnyEvent, Entry
from services.core.ids import is_object_id

EVENT_TYPES = tuple(sorted(str(kind.__struct_config__.tag) for kind in get_args(AnyEvent)))

MODEL_ID = PlainText(
    "modelId",
    "a Model API by its id: what happened to it, and refused attempts at it; administrators may name any thing",
)
ACTOR = PlainText("actor", "a person, by user name or id, or a service by its name: what they caused")
ACTION = PlainText("action", f"a kind of event, or how several of them begin: {', '.join(EVENT_TYPES)}")
SINCE = Instant("since", "from this moment on, it included, epoch milliseconds")
UNTIL = Instant("until", "up to this moment, it not included, epoch milliseconds")
CURSOR = PlainText("cursor", "nextCursor of the page before")
FILTERS = (MODEL_ID, ACTOR, ACTION, SINCE, UNTIL, CURSOR)

_CURSOR = re.compile(r"(?P<at>[0-9]{1,15})-(?P<aggregate>[0-9a-z]{1,40})-(?P<revision>[0-9]{1,12})")


async def entry_query(request: web.Request, store: Store) -> EntryQuery:
    """The filters `modelId`, `actor`, `action`, `since` and `until`, and the `cursor` to go on from."""
    since, until = SINCE.of(request), UNTIL.of(request)
    if since is not None and until is not None and since > until:
        raise Invalid("since must not be later than until", field="since")
    actor = ACTOR.of(request)
    return EntryQuery(
        aggregate_id=MODEL_ID.of(request),
        actor_id=None if actor is None else await _actor_id(store, actor),
        types=_types(ACTION.of(request)),
        since=since,
        until=until,
        before=_place(CURSOR.of(request)),
    )


def cursor(entry: Entry) -> str:
    """What the page behind `entry` is asked for with."""
    at, aggregate_id, revision = place_of(entry)
    return f"{milliseconds(at)}-{aggregate_id}-{revision}"


def matching(action: str) -> tuple[str, ...]:
    """The types of events that begin like this.

    >>> matching("token."), matching("token.cre"), matching("x")
    (('token.created', 'token.regenerated', 'token.revoked', 'token.shown'), ('token.created',), ())
    """
    return tuple(kind for kind in EVENT_TYPES if kind.startswith(action))


def _types(action: str | None) -> tuple[str, ...] | None:
    if action is None:
        return None
    if not (types := matching(action)):
        raise Invalid(f"action must be one of {', '.join(EVENT_TYPES)}, or how one begins", field="action")
    return types


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None or int(found["at"]) > FARTHEST_MS:
        raise Invalid("cursor must be the nextCursor of the page before", field="cursor")
    return Place(EPOCH + timedelta(milliseconds=int(found["at"])), found["aggregate"], int(found["revision"]))


async def _actor_id(store: Store, actor: str) -> str:
    """A person may be named; a service's name is its id."""
    if is_object_id(actor):
        return actor
    person = await store.find_person_by_name(actor)
    return actor if person is None else person.id
