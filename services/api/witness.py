"""This file has the bus keep the hash of every checkpoint: it cannot be edited along with the database."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import msgspec
import structlog
from nats.js import api

from services.core.checkpoint import Seal
from services.core.subjects import CHECKPOINT, Stream
from services.kit.bus import Bus
from services.kit.read_stream import messages

log = structlog.get_logger()

_READ_S = 60.0
_AT_ONCE = 1000  # each has a few hundred bytes


class BusWitness:
    """See `verify.Witness` and `checkpointer.Announcer`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def announce(self, seal: Seal) -> None:
        await self._bus.publish(CHECKPOINT, seal, message_id=f"{seal.number}.{seal.hash}")

    async def seals(self) -> Mapping[int, frozenset[str]]:
        found: dict[int, frozenset[str]] = {}
        start = api.ConsumerConfig(deliver_policy=api.DeliverPolicy.ALL)
        async with (
            self._bus.deadline("read the checkpoints", _READ_S) as jetstream,
            contextlib.aclosing(messages(jetstream, Stream.CHECKPOINTS, CHECKPOINT, start, at_once=_AT_ONCE)) as read,
        ):
            async for message in read:
                try:
                    seal = msgspec.json.decode(message.data, type=Seal)
                except msgspec.MsgspecError as error:
                    log.warning("checkpoint_unreadable", reason=str(error))
                    continue
                found[seal.number] = found.get(seal.number, frozenset()) | {seal.hash}
        return found
