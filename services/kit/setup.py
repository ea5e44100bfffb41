"""This file creates every stream, bucket and durable consumer. Only api calls it."""

from __future__ import annotations

import nats.js.errors
import structlog
from nats.js import JetStreamContext, api

from services.core.subjects import CONSUMERS, SUBJECTS, Bucket, Stream
from services.kit.bus import Bus

log = structlog.get_logger()

ACK_WAIT_S = 15.0  # after which a message goes to another worker, if its own did not say that it still works on it
HEARTBEAT_TTL_S = 10.0
_DAY_S = 86400.0
_MB = 1 << 20
_CREATE_S = 30.0
_EXISTS = 10058  # JetStream: "stream name already in use with a different configuration"
# Of one subject. With the size that senders give a message (32 kB, rarely more) a log takes a fifth of the stream at
# most: an instance that floods its log drives out its own lines, not those of others.
_MESSAGES_A_LOG = 3000
_CHECKPOINTS = 100_000  # verification reads all that there are: a second, and a few megabytes


async def create_all(
    bus: Bus, *, replicas: int = 1, log_days: float | None = None, call_days: float | None = None
) -> None:
    """Make every stream, bucket and consumer exist as described here. Idempotent: api calls it at start and
    now and then, for a server that lost its storage has none of them. Raises `Unavailable`.

    Logs are kept for `log_days`, records of calls for `call_days`; None: it is not known how long, and what is there
    is kept as before.
    """
    kept_days = {Stream.LOGS: log_days, Stream.ACCESS: call_days}
    async with bus.deadline("create the streams", _CREATE_S) as jetstream:
        for config in [
            *(_stream(name, replicas) for name in Stream),
            *(_bucket(name, replicas) for name in Bucket),
        ]:
            for stream, days in kept_days.items():
                if config.name == stream:
                    config.max_age = await _age_s(jetstream, stream, days) or config.max_age
            await _ensure_stream(jetstream, config)
        for consumer, (stream, subject) in CONSUMERS.items():
            await jetstream.add_consumer(
                stream,
                name=consumer.value,
                durable_name=consumer.value,
                filter_subject=subject,
                ack_policy=api.AckPolicy.EXPLICIT,
                ack_wait=ACK_WAIT_S,
                max_deliver=-1,  # the server would only fall silent; who consumes buries, with a reason
                max_ack_pending=1000,
            )


async def _age_s(jetstream: JetStreamContext, stream: Stream, days: float | None) -> float | None:
    """None: it never was said."""
    if days is not None:
        return days * _DAY_S
    try:
        return (await jetstream.stream_info(stream)).config.max_age
    except nats.js.errors.NotFoundError:
        return None


async def _ensure_stream(jetstream: JetStreamContext, config: api.StreamConfig) -> None:
    try:
        await jetstream.add_stream(config)
    except nats.js.errors.BadRequestError as error:
        if error.err_code != _EXISTS:
            raise
        await jetstream.update_stream(config)
        log.info("stream_updated", stream=config.name)


def _stream(name: Stream, replicas: int) -> api.StreamConfig:
    """Bounded by size and age, the oldest goes first. Orders vanish once done: COMMANDS is a work queue."""
    size_mb, days = _BOUNDS[name]
    return api.StreamConfig(
        name=name.value,
        subjects=[SUBJECTS[name]],
        retention=api.RetentionPolicy.WORK_QUEUE if name is Stream.COMMANDS else api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        num_replicas=replicas,
        max_bytes=size_mb * _MB,
        max_msgs_per_subject=_MESSAGES_A_LOG if name is Stream.LOGS else -1,
        max_msgs=_CHECKPOINTS if name is Stream.CHECKPOINTS else -1,
        max_age=days * _DAY_S,
        discard=api.DiscardPolicy.NEW if name is Stream.COMMANDS else api.DiscardPolicy.OLD,
        duplicate_window=120.0,
        # They are evidence: nobody takes one away by asking the bus for it.
        deny_delete=name is Stream.CHECKPOINTS,
        deny_purge=name is Stream.CHECKPOINTS,
    )


_BOUNDS = {  # megabytes, days (0: as long as there is room)
    Stream.EVENTS: (256, 30.0),
    Stream.FACTS: (64, 30.0),
    Stream.COMMANDS: (64, 0.0),
    Stream.LOGS: (512, 14.0),
    Stream.ACCESS: (512, 7.0),
    Stream.CHECKPOINTS: (64, 0.0),
    Stream.BURIED: (64, 90.0),
}


def _bucket(name: Bucket, replicas: int) -> api.StreamConfig:
    """The latest value a key. No direct reads: those may come from a replica that is behind."""
    is_expiring = name is Bucket.HEARTBEATS
    return api.StreamConfig(
        name=f"KV_{name}",
        subjects=[f"$KV.{name}.>"],
        storage=api.StorageType.FILE,
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_age=HEARTBEAT_TTL_S if is_expiring else 0.0,
        duplicate_window=HEARTBEAT_TTL_S if is_expiring else 120.0,
        discard=api.DiscardPolicy.NEW,
        allow_rollup_hdrs=True,
        allow_msg_ttl=not is_expiring or None,  # tombstones expire, see kit/bucket
        deny_delete=True,
        allow_direct=False,
    )
