"""This file is the resource quotas: named sizes of an instance, of which a model takes one.

All of them are one aggregate, known by one id, so that at most one is the default whoever changes two at once. A model
that takes a quota has its numbers copied: a quota never changes, is never deleted, and can only be hidden.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from services.core import settings as bounds
from services.core.commands import ChangeQuota, CreateQuota, QuotaCommand
from services.core.errors import NotFound, Refused
from services.core.events import Entry, Event, QuotaChanged, QuotaCreated
from services.core.ids import AggregateId
from services.core.settings import Settings

QUOTAS_ID = AggregateId("000000000000000000000002")
MAX_QUOTAS = 200


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """One size of an instance: cores, where a limit of 0 is none, and bytes."""

    id: str
    name: str
    cpu_requested: float
    cpu_limit: float
    memory_requested_bytes: int
    memory_limit_bytes: int
    is_visible: bool = True
    is_default: bool = False


class Quotas(msgspec.Struct, frozen=True, kw_only=True):
    """The folded state: all quotas, the oldest first. Revision 0: there never was one."""

    id: AggregateId = QUOTAS_ID
    revision: int = 0
    items: tuple[Quota, ...] = ()

    def quota(self, quota_id: str) -> Quota:
        """The quota with this id; `NotFound` if there is none."""
        for quota in self.items:
            if quota.id == quota_id:
                return quota
        raise NotFound(f"there is no resource quota {quota_id}")

    @property
    def default(self) -> Quota | None:
        return next((quota for quota in self.items if quota.is_default), None)


def taken(settings: Settings, quota: Quota) -> Settings:
    """`settings` with the numbers of `quota`. `Refused` for a hidden one, unless they have it already."""
    if not quota.is_visible and settings.quota_id != quota.id:
        raise Refused(f"resource quota {quota.name!r} is hidden and cannot be chosen any more")
    return _sized(replace(settings, quota_id=quota.id), quota)


def _sized(settings: Settings, quota: Quota | CreateQuota) -> Settings:
    return replace(
        settings,
        memory_bytes=quota.memory_limit_bytes,
        memory_requested_bytes=quota.memory_requested_bytes,
        cpu_limit=quota.cpu_limit,
        cpu_requested=quota.cpu_requested,
    )


def decide(quotas: Quotas | None, command: QuotaCommand) -> tuple[Event, ...]:
    """What `command` brings about; nothing when it is already so. Raises NotFound, Refused or Invalid."""
    before = quotas or Quotas()
    match command:
        case CreateQuota():
            return _create(before, command)
        case ChangeQuota():
            return _change(before, command)


def _create(quotas: Quotas, command: CreateQuota) -> tuple[Event, ...]:
    if any(quota.id == command.quota_id for quota in quotas.items):
        return ()
    if any(quota.name == command.name for quota in quotas.items):
        raise Refused(f"there is already a resource quota named {command.name!r}")
    if len(quotas.items) >= MAX_QUOTAS:
        raise Refused(f"there are {MAX_QUOTAS} resource quotas already, and no more can be made")
    bounds.check(_sized(Settings(), command))
    return (
        QuotaCreated(
            quota_id=command.quota_id,
            name=command.name,
            cpu_requested=command.cpu_requested,
            cpu_limit=command.cpu_limit,
            memory_requested_bytes=command.memory_requested_bytes,
            memory_limit_bytes=command.memory_limit_bytes,
        ),
    )


def _change(quotas: Quotas, command: ChangeQuota) -> tuple[Event, ...]:
    """Who becomes the default takes that from the one that was, in the same decision."""
    quota = quotas.quota(command.quota_id)
    is_visible = quota.is_visible if command.is_visible is None else command.is_visible
    is_default = quota.is_default if command.is_default is None else command.is_default
    if is_default and not is_visible:
        raise Refused(f"resource quota {quota.name!r} cannot be hidden and the default at once")
    was = quotas.default
    events: list[Event] = []
    if is_default and was is not None and was.id != quota.id:
        events.append(QuotaChanged(quota_id=was.id, is_visible=was.is_visible, is_default=False))
    if (is_visible, is_default) != (quota.is_visible, quota.is_default):
        events.append(QuotaChanged(quota_id=quota.id, is_visible=is_visible, is_default=is_default))
    return tuple(events)


def evolve(quotas: Quotas | None, entry: Entry) -> Quotas:
    """Fold one entry into the state."""
    before = quotas or Quotas(id=entry.aggregate_id)
    event = entry.event
    match event:
        case QuotaCreated():
            items = (*before.items, _new(event))
        case QuotaChanged():
            items = tuple(
                replace(quota, is_visible=event.is_visible, is_default=event.is_default)
                if quota.id == event.quota_id
                else quota
                for quota in before.items
            )
        case _:
            items = before.items
    return replace(before, revision=entry.revision, items=items)


def _new(event: QuotaCreated) -> Quota:
    return Quota(
        id=event.quota_id,
        name=event.name,
        cpu_requested=event.cpu_requested,
        cpu_limit=event.cpu_limit,
        memory_requested_bytes=event.memory_requested_bytes,
        memory_limit_bytes=event.memory_limit_bytes,
    )
