"""This file is what api's HTTP handlers need from the rest of api: three ports, given to them by constructor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from services.core.aggregates import Aggregate, State
from services.core.audit import Link
from services.core.calls import Call
from services.core.commands import AnyCommand
from services.core.events import Actor, Entry
from services.core.ids import AggregateId, CommandId, VersionId
from services.core.lifecycle import Seen, Version
from services.core.model import Model
from services.core.organisation import Organisation
from services.core.person import Person
from services.core.project import Project
from services.core.records import Traffic
from services.core.standing import Caller, Reach
from services.kit.read_log import PlacedLine

S = TypeVar("S", bound=State)


class ModelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which models to list. `name` is a regular expression, searched without regard to case.

    `visible_to`: only what they may see; None: all there are.
    """

    visible_to: Reach | None = None
    project_id: str | None = None
    environment_id: str | None = None
    name: str | None = None
    is_archived: bool = False
    order_by: str = "name"  # name or created
    is_descending: bool = False
    limit: int = 25
    offset: int = 0


class NameQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to list, by name. `name` is a part of it, without regard to case; None: all."""

    name: str | None = None
    limit: int = 25
    offset: int = 0


class Place(NamedTuple):
    """Where an entry stands in the history of everything, which is in this order."""

    at: datetime
    aggregate_id: str
    revision: int


def place_of(entry: Entry) -> Place:
    return Place(entry.at, entry.aggregate_id, entry.revision)


class EntryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries of the history to read; None: all. `since` counts in, `until` and `before` do not."""

    aggregate_id: str | None = None  # what happened to it, and the refused attempts at it
    actor_id: str | None = None
    types: tuple[str, ...] | None = None  # any of these
    since: datetime | None = None
    until: datetime | None = None
    before: Place | None = None


class People(Protocol):
    """People and organisations as lists, and what is observed of their keys. Raises as `Store` does."""

    async def page(self, query: NameQuery) -> tuple[list[Person], int]:
        """One page of people by user name, and how many there are in all. Full names and e-mails are searched too."""

    async def organisations(self, query: NameQuery) -> tuple[list[Organisation], int]: ...

    async def find(self, ids: Collection[str]) -> list[Person]:
        """Those that exist, in any order."""

    async def who_is_called(self, name: str) -> str | None:
        """The id of the person or organisation with this name, without regard to case."""

    async def note_key_uses(self, uses: Mapping[str, datetime]) -> None:
        """When API keys were used, by their ids. An earlier use than one that is known changes nothing."""

    async def key_uses(self, key_ids: Collection[str]) -> dict[str, datetime]:
        """When each was used last; those that never were are missing."""

    async def forget_key_use(self, key_id: str) -> None: ...


class Store(Protocol):
    """What is decided, as stored. Every method raises Unavailable when the database does not answer in time."""

    @property
    def people(self) -> People: ...

    async def load(self, aggregate: Aggregate[S], aggregate_id: str) -> S:
        """The state of one aggregate. Raises NotFound, also for an id that is not one."""

    async def sharing(self, project_id: str) -> Project:
        """The project without its snapshots: who may what in it. Raises NotFound."""

    async def reach(self, caller: Caller) -> Reach:
        """The caller with all projects that they own or collaborate on; administrators need none."""

    async def list_models(self, query: ModelQuery) -> tuple[list[Model], int]:
        """One page of models as lists show them (`listed.listed`), and how many there are in all."""

    async def list_all(self, aggregate: Aggregate[S]) -> list[S]:
        """Every aggregate of a kind, by name."""

    def all_models(self) -> AsyncIterator[Model]:
        """Every model, archived ones too, in the order of their ids."""

    async def find_project(self, *, owner_name: str, name: str) -> Project | None: ...

    async def find_person(self, *, key_hash: str) -> Person | None:
        """Who holds the API key with this SHA-256."""

    async def find_person_by_session(self, *, session_hash: str) -> Person | None:
        """Who has, or had, the browser session whose cookie has this SHA-256."""

    async def find_people_by_email(self, email: str) -> list[Person]:
        """Without regard to case."""

    async def find_person_by_identity(self, *, issuer: str, subject: str) -> Person | None: ...

    async def organisations_of(self, person_id: str) -> list[Organisation]:
        """Those that the person is a member of."""

    async def find_organisation(self, *, name: str) -> Organisation | None: ...

    async def find_project_by_tag(self, tag_id: str) -> Project | None: ...

    async def find_environment_id(self, *, name: str) -> AggregateId | None: ...

    async def secret(self, secret_id: str) -> bytes:
        """The ciphertext stored with a command. Raises NotFound."""

    async def entries(self, query: EntryQuery, *, limit: int) -> list[Link]:
        """The first `limit` that `query` asks for, newest first; fewer only when there are no more."""

    def links(self, aggregate_id: str, *, up_to: int) -> AsyncIterator[Link]:
        """The history of one aggregate up to a revision, oldest first."""

    async def telling(self, aggregate_id: str, *, up_to: int) -> list[Entry]:
        """What tells of an aggregate's settings until this revision (`changes.TELLING`), oldest first."""

    async def find_person_by_name(self, user_name: str) -> Person | None: ...

    async def count_unpublished(self) -> int:
        """How much of what is stored has not reached the bus yet."""

    async def ping(self) -> None:
        """Raises Unavailable unless the database answers."""


class Calls(Protocol):
    """Which calls were answered by whom, as routers recorded it."""

    async def find(self, model_id: AggregateId, request_id: str, *, within: timedelta) -> list[Call]:
        """Those of this id: one, as a rule; none when it is too long ago. `within`: how long one may have taken.

        Raises `Unavailable`.
        """


class Ledger(Protocol):
    """The one way to change anything."""

    async def execute(
        self,
        aggregate: Aggregate[S],
        aggregate_id: str,
        command: AnyCommand | Callable[[S], AnyCommand],
        *,
        actor: Actor,
        command_id: CommandId | None = None,
        secrets: Mapping[str, bytes | None] = {},
    ) -> S:
        """The state after `command`: decided, and stored with its events and effects in one transaction.

        A command that depends on the state is given as a function of it: what it is made from is what it changes,
        whoever else changes it at the same time. The same `command_id` a second time changes nothing. `secrets` are
        ciphertexts stored (None: deleted) in the same transaction. Raises what `decide` raises; Refused when a unique
        name is taken; Unavailable when the database does not answer, has no room, or keeps conflicting until the
        deadline.
        """


class ServiceSeen(msgspec.Struct, frozen=True, kw_only=True):
    """One service as its heartbeats show it."""

    service: str
    service_id: str
    last_seen_at: datetime
    started_at: datetime
    is_alive: bool


class Observed(Protocol):
    """What is observed right now, from the bus."""

    def seen(self, version: Version) -> Seen: ...

    def traffic(self, version_id: VersionId) -> Traffic | None:
        """What the live routers measured of a version that shares a label with another; None: nothing yet."""

    def services(self) -> Sequence[ServiceSeen]: ...

    def rejected_configurations(self) -> Mapping[str, str]:
        """Router id -> HAProxy's complaint, for routers that complain."""

    @property
    def is_bus_connected(self) -> bool: ...

    async def read_log(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        """The first `limit` lines of one log subject (a trailing `.>` reads all below it) behind the place `after_ns`.

        Fewer when they are long; none only at the end. Raises Unavailable.
        """

    async def read_end(self, subject: str, *, limit: int, after_ns: int) -> list[PlacedLine]:
        """The last `limit` of them, or fewer when they are long. Raises Unavailable."""
