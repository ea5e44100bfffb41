"""This file is what each service may do on the bus: as little as its work needs.

Pure: the embedded home renders it to nats.conf, and the tests hold every service to it on a real server.
A denied request shows as a timeout to who asked, and as `bus_permission_denied` in its log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from services.core.subjects import CONSUMERS, DECIDED, SUBJECTS, Bucket, Consumer, LogKind, Stream

_API = "$JS.API"


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """Subjects one NATS user may publish to and subscribe to; everything else is denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


class _Service(msgspec.Struct, frozen=True, kw_only=True):
    reads: tuple[Bucket, ...]
    writes: tuple[Bucket, ...] = ()
    consumes: tuple[Consumer, ...] = ()
    publishes: tuple[str, ...] = ()


_READ_BACK = (Stream.LOGS, Stream.ACCESS, Stream.CHECKPOINTS)

_SERVICES: Mapping[str, _Service] = {
    "api": _Service(
        reads=tuple(Bucket),
        writes=DECIDED,
        consumes=(Consumer.RECORDER, Consumer.RECEIPTS),
        publishes=(SUBJECTS[Stream.EVENTS], SUBJECTS[Stream.COMMANDS], SUBJECTS[Stream.CHECKPOINTS]),
    ),
    "builder": _Service(
        reads=(Bucket.BUILDS,),
        consumes=(Consumer.BUILDERS,),
        publishes=("fact.builder.>", f"log.{LogKind.BUILD}.>"),
    ),
    "deployer": _Service(
        reads=(Bucket.DESIRED, Bucket.HEALTH, Bucket.ROUTERS, Bucket.HEARTBEATS, Bucket.PLACEMENTS),
        writes=(Bucket.PLACEMENTS,),
        publishes=(f"log.{LogKind.INSTANCE}.>", f"log.{LogKind.DEPLOYMENT}.>"),
    ),
    "monitor": _Service(
        reads=(Bucket.DESIRED, Bucket.PLACEMENTS, Bucket.HEARTBEATS, Bucket.HEALTH),
        writes=(Bucket.HEALTH,),
    ),
    "router": _Service(
        reads=(Bucket.ROUTES, Bucket.PLACEMENTS, Bucket.HEALTH, Bucket.HEARTBEATS, Bucket.ROUTERS),
        writes=(Bucket.ROUTERS,),
        publishes=("fact.router.>", SUBJECTS[Stream.ACCESS]),
    ),
}

SERVICES = tuple(_SERVICES)


def permissions(service: str) -> Permissions:
    """What the user named `service` may do. Raises `KeyError` for a name that is no service."""
    work = _SERVICES[service]
    publish = [
        *(subject for bucket in work.reads for subject in _reading(bucket)),
        *(subject for bucket in work.writes for subject in _writing(bucket)),
        *(subject for consumer in work.consumes for subject in _consuming(consumer)),
        *work.publishes,
        f"buried.{service}.>",
        f"$KV.{Bucket.HEARTBEATS}.{service}.>",
        *_looking(Bucket.HEARTBEATS),
        *(_setting_up() if service == "api" else ()),
    ]
    return Permissions(publish=tuple(sorted(set(publish))), subscribe=(f"_INBOX_{service}.>",))


def nats_users(passwords: Mapping[str, str]) -> list[dict[str, object]]:
    """The list `authorization.users` of a nats.conf, for every service in `passwords`; they may be bcrypt
    hashes.

    nats.conf takes JSON, so this may be rendered with any JSON encoder.
    """
    return [_user(service, password) for service, password in passwords.items()]


def _user(service: str, password: str) -> dict[str, object]:
    allowed = permissions(service)
    return {
        "user": service,
        "password": password,
        "permissions": {
            "publish": {"allow": list(allowed.publish)},
            "subscribe": {"allow": list(allowed.subscribe)},
        },
    }


def _looking(bucket: Bucket) -> Iterable[str]:
    return (f"{_API}.STREAM.INFO.KV_{bucket}", f"{_API}.STREAM.MSG.GET.KV_{bucket}")


def _reading(bucket: Bucket) -> Iterable[str]:
    return (*_looking(bucket), *_reading_stream(f"KV_{bucket}"))


def _reading_stream(stream: str) -> Iterable[str]:
    return (f"{_API}.CONSUMER.CREATE.{stream}", f"{_API}.CONSUMER.DELETE.{stream}.*")


def _writing(bucket: Bucket) -> Iterable[str]:
    return (*_looking(bucket), f"$KV.{bucket}.>")


def _consuming(consumer: Consumer) -> Iterable[str]:
    stream, _ = CONSUMERS[consumer]
    place = f"{stream}.{consumer}"
    return (f"{_API}.CONSUMER.INFO.{place}", f"{_API}.CONSUMER.MSG.NEXT.{place}", f"$JS.ACK.{place}.>")


def _setting_up() -> Iterable[str]:
    """api makes all streams, buckets and durable consumers, and reads logs and records back. It deletes none."""
    streams = [*Stream, *(f"KV_{bucket}" for bucket in Bucket)]
    durable = [f"{_API}.CONSUMER.CREATE.{stream}.{name}.{subject}" for name, (stream, subject) in CONSUMERS.items()]
    made = [f"{_API}.STREAM.{verb}.{stream}" for stream in streams for verb in ("CREATE", "UPDATE", "INFO")]
    orders = f"{_API}.STREAM.MSG.GET.{Stream.COMMANDS}"  # is an order still there?
    read = [
        subject
        for stream in _READ_BACK
        for subject in (*_reading_stream(stream), f"{_API}.CONSUMER.MSG.NEXT.{stream}.*")
    ]
    return (*made, *durable, orders, *read)
