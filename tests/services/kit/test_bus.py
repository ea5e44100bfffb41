from __future__ import annotations

import asyncio
import signal
import time

import pytest
import structlog

from services.core.errors import TooLarge, Unavailable
from services.core.ids import AggregateId, VersionId
from services.core.records import BuildPhase, BuildReport, LogLine
from services.core.subjects import LogKind, Stream, build_fact
from services.core.subjects import log as log_subject
from services.kit.bus import Bus
from services.kit.clock import now
from services.kit.read_log import read_log
from services.kit.setup import create_all
from tests.parts import NatsServer, wait_until, wait_until_async

Logged = list[structlog.typing.EventDict]

VERSION = VersionId("5" * 24)
SUBJECT = build_fact(VERSION)
LOG = log_subject(LogKind.BUILD, AggregateId("a" * 24), VERSION)


def report(reason: str = "") -> BuildReport:
    return BuildReport(
        model_id=AggregateId("a" * 24), version_id=VERSION, attempt=1, phase=BuildPhase.FAILED, reason=reason
    )


def lines(*texts: str) -> list[LogLine]:
    return [LogLine(at=now(), text=text) for text in texts]


async def test_what_was_published_is_stored_when_publish_returns(bus: Bus) -> None:
    await bus.publish(SUBJECT, report())
    assert await bus.has_message(Stream.FACTS, SUBJECT)


async def test_a_second_copy_with_the_same_message_id_is_dropped(bus: Bus) -> None:
    for _ in range(3):
        await bus.publish(SUBJECT, report(), message_id="once")
    async with bus.deadline("look") as jetstream:
        assert (await jetstream.stream_info(Stream.FACTS)).state.messages == 1


async def test_publishing_where_no_stream_listens_is_unavailable_not_silence(bus: Bus) -> None:
    with pytest.raises(Unavailable):
        await bus.publish("nowhere.at.all", report())


async def test_a_message_beyond_the_servers_limit_is_too_large_and_the_bus_lives_on(bus: Bus) -> None:
    with pytest.raises(TooLarge):
        await bus.publish(SUBJECT, report("x" * 2_000_000))
    await bus.publish(SUBJECT, report())


async def test_while_the_server_is_away_publishing_is_refused_at_once(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await bus.publish(SUBJECT, report())
    assert time.monotonic() - begun < 0.5
    assert bus.check() is not None


async def test_what_waits_for_an_answer_is_told_when_the_server_dies(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.signal(signal.SIGSTOP)  # it takes the message and does not answer
    waiting = asyncio.create_task(bus.publish(SUBJECT, report()))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    begun = time.monotonic()
    nats_server.kill()
    with pytest.raises(Unavailable):
        await waiting
    assert time.monotonic() - begun < 1.0


async def test_a_server_that_stopped_talking_is_noticed(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        await bus.publish(SUBJECT, report())
    assert time.monotonic() - begun < 7.0
    await wait_until(lambda: not bus.is_connected, 15)
    nats_server.signal(signal.SIGCONT)
    await wait_until(lambda: bus.is_connected, 15)
    await bus.publish(SUBJECT, report())


async def test_after_a_kill_of_the_server_the_bus_is_back_within_a_second_or_so(
    bus: Bus, nats_server: NatsServer
) -> None:
    for _ in range(3):
        connections = bus.connections
        nats_server.restart()
        begun = time.monotonic()
        await wait_until(lambda: bus.connections > connections)  # noqa: B023
        await bus.publish(SUBJECT, report())
        assert time.monotonic() - begun < 3.0


async def test_connecting_waits_for_a_server_that_is_not_there_yet(nats_server: NatsServer) -> None:
    nats_server.kill()
    connecting = asyncio.create_task(Bus.connect(nats_server.config()))
    done, _ = await asyncio.wait({connecting}, timeout=1.0)
    assert not done
    nats_server.start()
    async with asyncio.timeout(10):
        bus = await connecting
    assert bus.is_connected
    await bus.close()


async def test_very_many_lines_are_sent_in_messages_the_server_takes(bus: Bus) -> None:
    await bus.publish_logs(LOG, lines(*("x" * 16_000 for _ in range(300))))
    await wait_until_stored(bus, 100)
    assert len(await read_log(bus, LOG, limit=1000)) == 300


async def test_log_lines_never_wait_for_an_absent_bus_and_the_gap_is_told(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    await bus.publish_logs(LOG, lines("lost", "lost too"))
    nats_server.start()
    await wait_until(lambda: bus.is_connected)
    await bus.publish_logs(LOG, lines("heard"))
    await wait_until_stored(bus, 1)
    gap, heard = await read_log(bus, LOG, limit=10)
    assert gap.stream == "modelway"
    assert gap.text.startswith("2 lines are missing")
    assert heard.text == "heard"


async def test_making_everything_twice_changes_nothing(bus: Bus) -> None:
    await bus.publish(SUBJECT, report())
    await create_all(bus)
    assert await bus.has_message(Stream.FACTS, SUBJECT)


async def test_a_stream_that_was_made_differently_is_changed_and_keeps_its_messages(bus: Bus) -> None:
    await bus.publish(SUBJECT, report())
    async with bus.deadline("change") as jetstream:
        config = (await jetstream.stream_info(Stream.FACTS)).config
        await jetstream.update_stream(config.evolve(max_bytes=1 << 20))
    await create_all(bus)
    async with bus.deadline("look") as jetstream:
        info = await jetstream.stream_info(Stream.FACTS)
    assert info.config.max_bytes == 64 << 20
    assert info.state.messages == 1


async def test_a_client_that_does_not_come_back_by_itself_is_replaced(
    bus: Bus, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.kit.bus._STUCK_S", 0.3)
    stuck = bus.client
    nats_server.kill()
    await wait_until(lambda: not bus.is_connected)
    assert stuck._reconnection_task is not None
    stuck._reconnection_task.cancel()
    nats_server.start()
    await wait_until(lambda: bus.is_connected)
    assert bus.client is not stuck
    await bus.publish(SUBJECT, report())


async def test_an_unreadable_chunk_does_not_hide_the_other_lines(bus: Bus) -> None:
    await bus.client.publish(LOG, b"{not lines")
    await bus.publish_logs(LOG, lines("heard"))
    await wait_until_stored(bus, 2)
    assert [line.text for line in await read_log(bus, LOG, limit=10)] == ["heard"]


# nats-py leaves the sockets of refused attempts to the garbage collector, which then complains.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_refused_password_is_tried_again_until_it_is_right(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("nats")
    server = NatsServer(folder, users=[{"user": "api", "password": "old"}])
    server.start()
    try:
        bus = await Bus.connect(server.config("api", "old"))
        server.kill()
        server._users = [{"user": "api", "password": "new"}]
        server.start()
        await wait_until(lambda: "authentication error" in server.output)
        server.kill()
        server._users = [{"user": "api", "password": "old"}]
        server.start()
        await wait_until(lambda: bus.is_connected, 15)
        async with bus.deadline("ask") as jetstream:
            await jetstream.account_info()
        await bus.close()
    finally:
        server.stop()


async def wait_until_stored(bus: Bus, messages: int) -> None:
    async def stored() -> bool:
        async with bus.deadline("look") as jetstream:
            return (await jetstream.stream_info(Stream.LOGS)).state.messages >= messages

    await wait_until_async(stored)
