"""This file is what is kept of a call: one line, written by the router's proxy, and when its id says it began.

    <request id> <model> <label> <version> <server> <began, epoch ms> <took, ms> <status> <how it ended>

Nothing of what was sent, of who sent it or of what was answered is in it. A request id begins with seven digits for the
sixteen seconds in which the router had the call's head: only the records of about then have to be looked through.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import msgspec

from services.core.ids import AggregateId, InstanceId, VersionId, is_object_id

SPAN = timedelta(seconds=16)  # that ids of one beginning come from
FIELDS = 9

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"(?P<span>[0-9A-F]{7})[0-9A-F]{9}")
_NOBODY = "<NOSRV>"  # the proxy's word for a call that no server was found for


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was let in. `version_id` None: its label led to nobody; `instance_id` None: none was free."""

    request_id: str
    model_id: AggregateId
    label: str
    version_id: VersionId | None
    instance_id: InstanceId | None  # that answered, of those that were tried
    began_at: datetime  # the router had the head of the request
    took_s: float  # until the last byte of the answer
    status: int


def began_at(request_id: str) -> datetime | None:
    """The earliest that the call of this id can have begun, `SPAN` before the latest; None: routers give no such id.

    >>> began_at("6B030B66FD36A2B5")
    datetime.datetime(2026, 11, 22, 15, 33, 52, tzinfo=datetime.timezone.utc)
    >>> began_at("IREU167VFABC3K4T") is None
    True
    """
    found = _ID.fullmatch(request_id)
    return None if found is None else _EPOCH + int(found["span"], 16) * SPAN


def parse(line: str) -> Call | None:
    """The call that a line is about; None for a line of another make."""
    words = line.split()
    if len(words) != FIELDS:
        return None
    request_id, model_id, label, version_id, server, began_ms, took_ms, status, _ = words
    try:
        began, took_s = _EPOCH + timedelta(milliseconds=int(began_ms)), int(took_ms) / 1000
    except (ValueError, OverflowError):
        return None
    return Call(
        request_id=request_id,
        model_id=AggregateId(model_id),
        label=label,
        version_id=VersionId(version_id) if is_object_id(version_id) else None,
        instance_id=None if server == _NOBODY else InstanceId(server.rpartition(".")[0]),
        began_at=began,
        took_s=max(0.0, took_s),
        status=int(status) if status.isdigit() else 0,
    )
