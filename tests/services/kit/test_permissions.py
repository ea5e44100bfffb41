from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import structlog

from services.core.ids import AggregateId, VersionId
from services.core.records import (
    Build,
    BuildPhase,
    BuildReport,
    Desired,
    Health,
    Heartbeat,
    LogLine,
    Placement,
    Record,
    Removed,
    Route,
    RouterReport,
)
from services.core.subjects import (
    CHECKPOINT,
    CONSUMERS,
    DECIDED,
    Bucket,
    Consumer,
    LogKind,
    Stream,
    access,
    build_command,
    build_fact,
    buried,
    event,
    heartbeat_key,
    log,
)
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.consume import Attempt, consume
from services.kit.mirror import Mirror
from services.kit.permissions import SERVICES, nats_users, permissions
from services.kit.process import Stop
from services.kit.read_log import read_log
from services.kit.setup import create_all
from tests.parts import NatsServer, running, wait_until
from tests.services.kit.samples import at_work, health, route

Logged = list[structlog.typing.EventDict]

MODEL, VERSION = AggregateId("a" * 24), VersionId("b" * 24)
TYPES: dict[Bucket, type[Record]] = {
    Bucket.DESIRED: Desired,
    Bucket.ROUTES: Route,
    Bucket.BUILDS: Build,
    Bucket.PLACEMENTS: Placement,
    Bucket.HEALTH: Health,
    Bucket.ROUTERS: RouterReport,
    Bucket.HEARTBEATS: Heartbeat,
}
READS = {
    "api": set(Bucket),
    "builder": {Bucket.BUILDS},
    "deployer": {Bucket.DESIRED, Bucket.HEALTH, Bucket.ROUTERS, Bucket.HEARTBEATS, Bucket.PLACEMENTS},
    "monitor": {Bucket.DESIRED, Bucket.PLACEMENTS, Bucket.HEARTBEATS, Bucket.HEALTH},
    "router": {Bucket.ROUTES, Bucket.PLACEMENTS, Bucket.HEALTH, Bucket.HEARTBEATS, Bucket.ROUTERS},
}
WRITES = {
    "api": set(DECIDED),
    "builder": set[Bucket](),
    "deployer": {Bucket.PLACEMENTS},
    "monitor": {Bucket.HEALTH},
    "router": {Bucket.ROUTERS},
}
REPORT = BuildReport(model_id=MODEL, version_id=VERSION, attempt=1, phase=BuildPhase.BUILDING)
PUBLISHES = {
    "api": {event("model", MODEL, "made"), build_command(VERSION), CHECKPOINT},
    "builder": {build_fact(VERSION)},
    "deployer": set[str](),
    "monitor": set[str](),
    "router": {"fact.router.rollout.1", access(MODEL)},
}
LOGS = {"builder": {LogKind.BUILD}, "deployer": {LogKind.INSTANCE, LogKind.DEPLOYMENT}}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[NatsServer]:
    """A server that knows the five services, each by its password, and what each may do."""
    server = NatsServer(tmp_path / "nats", users=nats_users({name: f"{name}-password" for name in SERVICES}))
    with running(server):
        yield server


@asynccontextmanager
async def connected(server: NatsServer, service: str) -> AsyncIterator[Bus]:
    bus = await Bus.connect(server.config(service, f"{service}-password"))
    try:
        yield bus
    finally:
        await bus.close()


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest, guarded: NatsServer) -> AsyncIterator[tuple[str, Bus]]:
    """Each service in turn, after api has set up the bus."""
    async with connected(guarded, "api") as api:
        await create_all(api)
        async with connected(guarded, request.param) as bus:
            yield request.param, bus


class Asking:
    """Tells which requests the server lets pass; they need not be sensible ones."""

    def __init__(self, bus: Bus, logged: Logged) -> None:
        self._bus = bus
        self._logged = logged

    async def may_publish(self, subject: str) -> bool:
        inbox = self._bus.client.new_inbox()
        return await self._passes(subject, self._bus.client.publish(subject, b"{}", reply=inbox))

    async def may_subscribe(self, subject: str) -> bool:
        return await self._passes(subject, self._bus.client.subscribe(subject))

    async def _passes(self, subject: str, doing: Awaitable[object]) -> bool:
        before = len(self._logged)
        await doing
        for _ in range(2):  # the client's first ping may overtake the message; no refusal comes after the second
            await self._bus.client.flush()
        denied = [line["reason"] for line in self._logged[before:] if line["event"] == "bus_permission_denied"]
        assert all(f'"{subject.lower()}"' in reason for reason in denied)
        return not denied


@pytest.fixture
def asking(service: tuple[str, Bus], logged: Logged) -> Asking:
    return Asking(service[1], logged)


async def test_each_service_mirrors_what_it_reads_and_nothing_else(service: tuple[str, Bus], asking: Asking) -> None:
    name, bus = service
    for bucket in Bucket:
        mirror = Mirror(bus.bucket(bucket, TYPES[bucket]))
        if bucket in READS[name]:
            async with at_work(mirror.run):
                await wait_until(lambda: mirror.has_listed)  # noqa: B023
        else:
            assert not await asking.may_publish(f"$JS.API.CONSUMER.CREATE.KV_{bucket}")


async def test_each_service_writes_its_own_buckets_and_no_other(service: tuple[str, Bus], asking: Asking) -> None:
    name, bus = service
    for bucket in set(Bucket) - {Bucket.HEARTBEATS}:
        if bucket in WRITES[name]:
            assert await bus.bucket(bucket, TYPES[bucket]).put("local.x", Removed(revision=1))
        else:
            assert not await asking.may_publish(f"$KV.{bucket}.x")


async def test_each_service_beats_for_itself_only(service: tuple[str, Bus], asking: Asking) -> None:
    name, bus = service
    beat = Heartbeat(revision=1, service=name, service_id="1", at=now(), started_at=now())
    assert await bus.bucket(Bucket.HEARTBEATS, Heartbeat).put(heartbeat_key(name, "1"), beat)
    for other in set(SERVICES) - {name}:
        assert not await asking.may_publish(f"$KV.heartbeats.{other}.1")


async def test_each_service_publishes_what_is_its_own_and_nothing_else(
    service: tuple[str, Bus], asking: Asking
) -> None:
    name, _ = service
    for publisher, subjects in PUBLISHES.items():
        for subject in subjects:
            assert await asking.may_publish(subject) is (publisher == name), subject
    for kind in LogKind:
        assert await asking.may_publish(log(kind, MODEL, VERSION)) is (kind in LOGS.get(name, ())), kind
    for other in SERVICES:
        assert await asking.may_publish(buried(other, "x")) is (other == name)


async def test_only_api_makes_and_nobody_deletes_or_purges(service: tuple[str, Bus], asking: Asking) -> None:
    name, _ = service
    for stream in [*Stream, *(f"KV_{bucket}" for bucket in Bucket)]:
        for verb in ("CREATE", "UPDATE"):
            assert await asking.may_publish(f"$JS.API.STREAM.{verb}.{stream}") is (name == "api"), (verb, stream)
        for verb in ("DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"):
            assert not await asking.may_publish(f"$JS.API.STREAM.{verb}.{stream}"), (verb, stream)
    for subject in (
        *("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.META.LEADER.STEPDOWN"),
        *("$JS.API.ACCOUNT.PURGE.$G", "$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.x.RELOAD"),
    ):
        assert not await asking.may_publish(subject), subject


async def test_each_service_looks_into_its_own_streams_and_no_other(service: tuple[str, Bus], asking: Asking) -> None:
    """What one cannot read, one cannot have delivered either."""
    name, _ = service
    buckets = {f"KV_{bucket}" for bucket in READS[name]}
    read = buckets | ({"LOGS", "ACCESS", "CHECKPOINTS"} if name == "api" else set[str]())
    looked_up = buckets | {f"KV_{bucket}" for bucket in WRITES[name]} | {"KV_heartbeats"}
    for stream in [*map(str, Stream), *(f"KV_{bucket}" for bucket in Bucket)]:
        assert await asking.may_publish(f"$JS.API.CONSUMER.CREATE.{stream}") is (stream in read), stream
        assert await asking.may_publish(f"$JS.API.CONSUMER.DELETE.{stream}.x") is (stream in read), stream
        assert not await asking.may_publish(f"$JS.API.CONSUMER.CREATE.{stream}.x.>"), stream
        assert not await asking.may_publish(f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.x"), stream
        assert not await asking.may_publish(f"$JS.API.DIRECT.GET.{stream}"), stream
        assert not await asking.may_publish(f"$JS.API.CONSUMER.LIST.{stream}"), stream
        may_get = stream in looked_up or (name, stream) == ("api", "COMMANDS")
        assert await asking.may_publish(f"$JS.API.STREAM.MSG.GET.{stream}") is may_get, stream


async def test_no_service_answers_in_anothers_name(service: tuple[str, Bus], asking: Asking) -> None:
    name, _ = service
    for other in set(SERVICES) - {name}:
        assert not await asking.may_publish(f"_INBOX_{other}.answer")
    for subject in ("event.x", "command.x", "fact.x", "log.x", "buried.x", "anything", "$KV.x.y", "$JS.API.x"):
        is_own = name == "api" and subject in ("event.x", "command.x")
        assert await asking.may_publish(subject) is is_own, subject


async def test_each_consumer_belongs_to_one_service(service: tuple[str, Bus], asking: Asking) -> None:
    name, _ = service
    owners = {Consumer.BUILDERS: "builder", Consumer.RECORDER: "api", Consumer.RECEIPTS: "api"}
    for consumer, (stream, _) in CONSUMERS.items():
        place = f"{stream}.{consumer}"
        for subject in (
            *(f"$JS.API.CONSUMER.{verb}.{place}" for verb in ("INFO", "MSG.NEXT")),
            f"$JS.ACK.{place}.1.1.1.1.1",
        ):
            assert await asking.may_publish(subject) is (owners[consumer] == name), subject
        for verb in ("DELETE", "PAUSE", "LEADER.STEPDOWN", "RESET"):
            assert not await asking.may_publish(f"$JS.API.CONSUMER.{verb}.{place}"), verb


async def test_no_service_hears_anothers_answers_or_everything(asking: Asking) -> None:
    for subject in (">", "_INBOX.>", "_INBOX_other.>", "$KV.>", "event.>"):
        assert not await asking.may_subscribe(subject)


async def test_nobody_writes_where_they_may_not_by_having_it_delivered_there(guarded: NatsServer) -> None:
    """Who reads a bucket makes a consumer of it, and says where to; the server does not ask whether they may."""
    async with connected(guarded, "api") as api, connected(guarded, "monitor") as monitor:
        await create_all(api)
        assert await api.bucket(Bucket.DESIRED, Desired).put("local.x", Removed(revision=1))
        for place in ("$KV.routes.m", event("model", MODEL, "made"), build_command(VERSION)):
            config = {"deliver_subject": place, "ack_policy": "none", "deliver_policy": "all", "mem_storage": True}
            asked = msgspec.json.encode({"stream_name": "KV_desired", "config": config})
            await monitor.client.request("$JS.API.CONSUMER.CREATE.KV_desired", asked, timeout=5)
        await monitor.bucket(Bucket.HEALTH, Health).put("i", health(1))  # what came before has been dealt with
        assert await api.bucket(Bucket.ROUTES, Route).list() == {}
        for stream in (Stream.EVENTS, Stream.COMMANDS):
            answer = await api.client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=5)
            assert msgspec.json.decode(answer.data)["state"]["messages"] == 0


async def test_a_denial_is_an_error_in_the_log_that_names_the_subject(guarded: NatsServer, logged: Logged) -> None:
    async with connected(guarded, "monitor") as bus:
        assert not await Asking(bus, logged).may_publish("$KV.routes.m")
    (line,) = [line for line in logged if line["event"] == "bus_permission_denied"]
    assert line["log_level"] == "error"
    assert "$kv.routes.m" in line["reason"]


async def test_the_builder_takes_an_order_reports_and_logs_and_api_hears_it(guarded: NatsServer) -> None:
    orders: list[BuildReport] = []
    facts: list[BuildReport] = []
    async with connected(guarded, "api") as api, connected(guarded, "builder") as builder:
        await create_all(api)

        async def build(order: BuildReport, _attempt: Attempt) -> None:
            orders.append(order)
            line = LogLine(at=now(), text="built")
            await builder.publish_logs(log(LogKind.BUILD, MODEL, VERSION), [line])
            await builder.publish(build_fact(VERSION), REPORT)

        async def record(fact: BuildReport, _attempt: Attempt) -> None:
            facts.append(fact)

        async def work(stop: Stop) -> None:
            await consume(builder, Consumer.BUILDERS, BuildReport, build, stop, max_attempts=3)

        async def recorder(stop: Stop) -> None:
            await consume(api, Consumer.RECORDER, BuildReport, record, stop, max_attempts=3)

        async with at_work(work, recorder):
            await api.publish(build_command(VERSION), REPORT)
            await wait_until(lambda: bool(facts))
        lines = await read_log(api, log(LogKind.BUILD, MODEL, VERSION), limit=10)
        assert [line.text for line in lines] == ["built"]
        assert orders == facts == [REPORT]
        assert not await api.has_message(Stream.COMMANDS, build_command(VERSION))


async def test_what_monitor_writes_router_sees(guarded: NatsServer) -> None:
    async with connected(guarded, "api") as api:
        await create_all(api)
        assert await api.bucket(Bucket.ROUTES, Route).put("m", route(1))
    async with connected(guarded, "monitor") as monitor, connected(guarded, "router") as router:
        verdicts = Mirror(router.bucket(Bucket.HEALTH, Health), list_every_s=30)
        async with at_work(verdicts.run):
            await wait_until(lambda: verdicts.has_listed)
            await monitor.bucket(Bucket.HEALTH, Health).put("i", health(1))
            await wait_until(lambda: "i" in verdicts.entries)


def test_nobody_may_do_everything() -> None:
    for name in SERVICES:
        allowed = permissions(name)
        assert allowed.subscribe == (f"_INBOX_{name}.>",)
        assert not {">", "$JS.>", "$JS.API.>", "$KV.>", "*"} & set(allowed.publish)
