"""This file is the platform's history: who changed what and when, what was live at a moment, and if it is sound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import httpx

from modelway.records import Json, instant
from modelway.transport import SERVING, Transport

_PATH = f"{SERVING}/audit"
_PAGE = 500
_LONG = httpx.Timeout(600.0, connect=5.0)  # all of a long history is read for one answer
_LINES = {"Accept": "application/x-ndjson"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that happened. `before` and `after`: the settings that a change of settings changed."""

    id: str
    at: datetime | None
    what: str
    actor: str
    address: str
    aggregate: str
    aggregate_id: str
    before: Json
    after: Json
    value: Json  # the whole answer

    @classmethod
    def read(cls, answer: Json) -> Entry:
        actor = answer.get("actor") or {}
        return cls(
            id=str(answer["id"]),
            at=instant(answer["at"]),
            what=str(answer["what"]),
            actor=str(actor.get("name") or ""),
            address=str(actor.get("address") or ""),
            aggregate=str(answer["aggregate"]),
            aggregate_id=str(answer["aggregateId"]),
            before=answer.get("before"),
            after=answer.get("after"),
            value=answer,
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong with the history or a state: where, and what."""

    aggregate: str
    aggregate_id: str
    revision: int
    what: str

    @classmethod
    def read(cls, answer: Json) -> Finding:
        return cls(
            aggregate=str(answer["aggregate"]),
            aggregate_id=str(answer["aggregateId"]),
            revision=int(answer["revision"]),
            what=str(answer["what"]),
        )


@dataclass(frozen=True, kw_only=True)
class Verification:
    """`ahead`: how many changed since their last checkpoint. `witnessed`: the newest checkpoint that the bus knows."""

    aggregates: int
    events: int
    checkpoints: int
    ahead: int
    witnessed: int
    unwitnessed_because: str  # "": the bus was asked
    findings: tuple[Finding, ...]

    @classmethod
    def read(cls, answer: Json) -> Verification:
        findings = tuple(Finding.read(each) for each in answer["findings"])
        return cls(
            aggregates=int(answer["aggregates"]),
            events=int(answer["events"]),
            checkpoints=int(answer["checkpoints"]),
            ahead=int(answer["ahead"]),
            witnessed=int(answer["witnessed"]),
            unwitnessed_because=str(answer["unwitnessedBecause"]),
            findings=findings,
        )


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """A call that was let in, and who answered it; of a label that led to nobody, no version."""

    request_id: str
    label: str
    version_id: str | None
    version_number: int | None
    instance_id: str | None
    began_at: datetime | None
    seconds: float
    status: int
    value: Json  # the whole answer

    @classmethod
    def read(cls, answer: Json) -> CallRecord:
        number = answer["versionNumber"]
        return cls(
            request_id=str(answer["requestId"]),
            label=str(answer["label"]),
            version_id=answer["versionId"],
            version_number=None if number is None else int(number),
            instance_id=answer["instanceId"],
            began_at=instant(answer["began"]),
            seconds=float(answer["seconds"]),
            status=int(answer["status"]),
            value=answer,
        )


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which entries; None: all. `action` is how a type of event begins, `actor` a name or an id."""

    model_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def params(self) -> dict[str, str | int | None]:
        return {
            "modelId": self.model_id,
            "actor": self.actor,
            "action": self.action,
            "since": _milliseconds(self.since),
            "until": _milliseconds(self.until),
        }


@dataclass(frozen=True)
class Audit:
    """The history: of the platform for administrators, of a model also for its editors and owners."""

    transport: Transport

    def entries(self, query: Query, *, limit: int | None = None) -> Iterator[Entry]:
        """Newest first, at most `limit`, page by page."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page, cursor = self.transport.get(_PATH, _read_page, **query.params(), limit=size, cursor=cursor)
            yield from page
            left = None if left is None else left - len(page)
            if cursor is None:
                return

    def export(self, query: Query) -> Iterator[bytes]:
        """All as lines of JSON, newest first, in pieces as they arrive. Raises ConnectionLost when it was not all."""
        return self.transport.stream(_PATH, headers=_LINES, timeout=_LONG, **query.params())

    def as_of(self, at: datetime, *, model_id: str | None = None) -> list[Json]:
        """What was live at `at`: an object for each model that there was."""
        params = {"time": _milliseconds(at), **({} if model_id is None else {"modelId": model_id})}
        return self.transport.repeat("GET", f"{_PATH}/as-of", _read_items, params=params, timeout=_LONG)

    def call(self, model_id: str, request_id: str) -> list[CallRecord]:
        """Who answered the call whose answer has this X-Request-Id: one record, as a rule. Raises NotFound."""
        return self.transport.get(f"{SERVING}/modelApis/{model_id}/calls/{quote(request_id, safe='')}", _read_calls)

    def verify(self) -> Verification:
        """Reads all there is, on the platform."""
        return self.transport.repeat("GET", f"{_PATH}/verification", Verification.read, timeout=_LONG)


def _read_items(answer: Json) -> list[Json]:
    return list(answer["items"])


def _read_calls(answer: Json) -> list[CallRecord]:
    return [CallRecord.read(each) for each in answer["items"]]


def _read_page(answer: Json) -> tuple[list[Entry], str | None]:
    return [Entry.read(each) for each in answer["items"]], answer.get("nextCursor")


def _milliseconds(at: datetime | None) -> int | None:
    return None if at is None else round(at.astimezone(UTC).timestamp() * 1000)
