"""This file finds who answered a call, in the records that routers left on the bus."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta

import structlog
from nats.js import api

from services.core.calls import SPAN, Call, began_at, parse
from services.core.errors import Invalid
from services.core.ids import AggregateId
from services.core.subjects import Stream, access
from services.kit.bus import Bus
from services.kit.packed import unpack
from services.kit.read_stream import messages, stored_ns

log = structlog.get_logger()

MARGIN = timedelta(seconds=120)  # between the end of a call and the moment when the bus had its record, at most
_EARLY = timedelta(seconds=10)  # by which the bus's clock may be behind the router's
_READ_S = 15.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BusCalls:
    """See `ports.Calls`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def find(self, model_id: AggregateId, request_id: str, *, within: timedelta) -> list[Call]:
        began = began_at(request_id)
        if began is None:
            return []
        latest_ns = (began + SPAN + within + MARGIN - _EPOCH) // timedelta(microseconds=1) * 1000
        start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.BY_START_TIME, opt_start_time=began - _EARLY)
        lines: dict[str, None] = {}  # a record may be there twice
        async with (
            self._bus.deadline("look for a call", _READ_S) as jetstream,
            contextlib.aclosing(messages(jetstream, Stream.ACCESS, access(model_id), start)) as found,
        ):
            async for message in found:
                if stored_ns(message) > latest_ns:
                    break
                lines |= dict.fromkeys(_lines_of(message.data, request_id))
        return [call for line in lines if (call := parse(line)) is not None]


def _lines_of(packed: bytes, request_id: str) -> list[str]:
    """Found as bytes: a message may hold thousands of lines of other calls."""
    try:
        text = unpack(packed)
    except Invalid as error:
        log.warning("access_records_unreadable", reason=error.reason)  # one bad message does not hide the others
        return []
    lines: list[str] = []
    at = text.find(request_id.encode())
    while at >= 0:
        end = text.find(b"\n", at)
        lines.append(text[at : end if end >= 0 else len(text)].decode(errors="replace"))
        at = text.find(request_id.encode(), at + 1)
    return lines
