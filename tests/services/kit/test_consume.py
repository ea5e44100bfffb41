from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
import structlog

from services.core.errors import BuildFailed, Unavailable
from services.core.ids import AggregateId, VersionId
from services.core.records import BuildPhase, BuildReport, Buried
from services.core.subjects import Consumer, Stream, build_fact
from services.kit.bus import Bus
from services.kit.consume import Attempt, consume
from services.kit.process import Stop, Work
from tests.parts import NatsServer, wait_until, wait_until_async
from tests.services.kit.samples import at_work

Logged = list[structlog.typing.EventDict]
Handle = Callable[[BuildReport, Attempt], Awaitable[None]]

ACK_WAIT_S = 1.0


@pytest_asyncio.fixture
async def quick(bus: Bus) -> Bus:
    """The recorder's consumer with a short wait for acknowledgements, so that a test sees redelivery."""
    async with bus.deadline("shorten") as jetstream:
        config = (await jetstream.consumer_info(Stream.FACTS, Consumer.RECORDER)).config
        await jetstream.add_consumer(Stream.FACTS, config.evolve(ack_wait=ACK_WAIT_S))
    return bus


def report(number: int = 1) -> BuildReport:
    return BuildReport(model_id=AggregateId("a"), version_id=VersionId("v"), attempt=number, phase=BuildPhase.BUILDING)


async def send(bus: Bus, number: int = 1) -> None:
    await bus.publish(build_fact(VersionId("v")), report(number))


class Seen:
    """A handler that notes what it was given, and does what it is told to."""

    def __init__(self, then: Handle | None = None) -> None:
        self.numbers: list[int] = []
        self.attempts: list[int] = []
        self.given_up: list[tuple[int, str]] = []
        self._then = then

    async def handle(self, value: BuildReport, attempt: Attempt) -> None:
        self.numbers.append(value.attempt)
        self.attempts.append(attempt.number)
        if self._then is not None:
            await self._then(value, attempt)

    async def give_up(self, value: BuildReport, reason: str) -> None:
        self.given_up.append((value.attempt, reason))


def recording(bus: Bus, seen: Seen, *, max_attempts: int = 3, concurrency: int = 1, hold_s: float = 600.0) -> Work:
    async def work(stop: Stop) -> None:
        await consume(
            bus,
            Consumer.RECORDER,
            BuildReport,
            seen.handle,
            stop,
            max_attempts=max_attempts,
            concurrency=concurrency,
            backoff_cap_s=0.05,
            hold_s=hold_s,
            on_give_up=seen.give_up,
        )

    return work


async def graves(bus: Bus) -> list[Buried]:
    async with bus.deadline("read graves") as jetstream:
        state = (await jetstream.stream_info(Stream.BURIED)).state
        messages = [await jetstream.get_msg(Stream.BURIED, n) for n in range(1, state.last_seq + 1)]
    return [msgspec.json.decode(message.data or b"", type=Buried) for message in messages]


async def is_settled(bus: Bus) -> bool:
    """Nothing is left to deliver and nothing waits for an acknowledgement."""
    async with bus.deadline("look") as jetstream:
        info = await jetstream.consumer_info(Stream.FACTS, Consumer.RECORDER)
    return (info.num_pending, info.num_ack_pending) == (0, 0)


async def wait_until_settled(bus: Bus) -> None:
    await wait_until_async(lambda: is_settled(bus), 15, what="all messages are settled")


async def test_every_message_is_handled_once_and_in_order_when_all_is_well(bus: Bus) -> None:
    seen = Seen()
    for n in range(1, 21):
        await send(bus, n)
    async with at_work(recording(bus, seen)):
        await wait_until_settled(bus)
    assert seen.numbers == list(range(1, 21))
    assert await graves(bus) == []


async def test_a_failing_handler_is_tried_again_with_growing_attempts_and_then_the_message_is_buried(
    bus: Bus, logged: Logged
) -> None:
    async def fail(_value: BuildReport, _attempt: Attempt) -> None:
        raise KeyError("a bug")

    seen = Seen(fail)
    await send(bus, 7)
    async with at_work(recording(bus, seen)):
        await wait_until_settled(bus)
    assert seen.attempts == [1, 2, 3]
    assert [number for number, _ in seen.given_up] == [7]
    (grave,) = await graves(bus)
    assert grave.subject == build_fact(VersionId("v"))
    assert grave.attempts == 3
    assert "KeyError" in grave.reason
    assert msgspec.json.decode(grave.body, type=BuildReport) == report(7)
    assert [line["log_level"] for line in logged if line["event"] == "message_buried"] == ["error"]


async def test_a_permanent_error_is_buried_at_the_first_attempt(bus: Bus) -> None:
    async def fail(_value: BuildReport, _attempt: Attempt) -> None:
        raise BuildFailed("numpy==0 cannot be found")

    seen = Seen(fail)
    await send(bus)
    async with at_work(recording(bus, seen)):
        await wait_until_settled(bus)
    assert seen.attempts == [1]
    assert [grave.reason for grave in await graves(bus)] == ["numpy==0 cannot be found"]


async def test_a_temporary_error_does_not_count_as_an_attempt(bus: Bus) -> None:
    async def fail_twice(_value: BuildReport, _attempt: Attempt) -> None:
        if len(seen.numbers) <= 2:
            raise Unavailable("the database does not answer", retry_after_s=0.01)

    seen = Seen(fail_twice)
    await send(bus)
    async with at_work(recording(bus, seen, max_attempts=1)):
        await wait_until(lambda: len(seen.numbers) == 3, 20)
        await wait_until_settled(bus)
    assert seen.attempts == [1, 1, 1]
    assert await graves(bus) == []


async def test_an_outage_without_end_is_buried_too_in_the_end(bus: Bus) -> None:
    async def fail(_value: BuildReport, _attempt: Attempt) -> None:
        raise Unavailable("the database does not answer", retry_after_s=0.01)

    seen = Seen(fail)
    await send(bus)
    async with at_work(recording(bus, seen, max_attempts=2, hold_s=0)):
        await wait_until_settled(bus)
    assert seen.attempts == [1, 2]
    assert len(await graves(bus)) == 1


async def test_what_cannot_be_read_is_buried_and_the_next_message_comes(bus: Bus) -> None:
    seen = Seen()
    async with bus.deadline("spoil") as jetstream:
        await jetstream.publish(build_fact(VersionId("v")), b"{not json")
    await send(bus, 2)
    async with at_work(recording(bus, seen)):
        await wait_until_settled(bus)
    assert seen.numbers == [2]
    assert seen.given_up == []
    (grave,) = await graves(bus)
    assert grave.body == b"{not json"
    assert "cannot be read" in grave.reason


async def test_a_message_is_not_buried_before_its_end_was_told(bus: Bus) -> None:
    class Patient(Seen):
        async def give_up(self, value: BuildReport, reason: str) -> None:
            await super().give_up(value, reason)
            if len(self.given_up) == 1:
                raise Unavailable("the database does not answer", retry_after_s=0.01)
            raise KeyError("a bug; saying it again would not help")

    async def fail(_value: BuildReport, _attempt: Attempt) -> None:
        raise BuildFailed("no such file")

    seen = Patient(fail)
    await send(bus)
    async with at_work(recording(bus, seen)):
        await wait_until_settled(bus)
    assert len(seen.given_up) == 2
    assert len(await graves(bus)) == 1


async def test_a_message_as_large_as_the_bus_takes_is_buried_all_the_same(bus: Bus) -> None:
    async with bus.deadline("send") as jetstream:
        await jetstream.publish(build_fact(VersionId("v")), b"x" * 1_000_000)
    async with at_work(recording(bus, Seen())):
        await wait_until_settled(bus)
    assert len(await graves(bus)) == 1


async def test_long_work_is_kept_alive_and_not_delivered_again(quick: Bus) -> None:
    async def work_long(_value: BuildReport, _attempt: Attempt) -> None:
        await asyncio.sleep(ACK_WAIT_S * 3)

    seen = Seen(work_long)
    await send(quick)
    async with at_work(recording(quick, seen, concurrency=2)):
        await wait_until(lambda: bool(seen.numbers))
        await wait_until_settled(quick)
    assert seen.attempts == [1]


async def test_at_most_as_many_messages_as_allowed_are_in_hand_at_once(bus: Bus) -> None:
    in_hand = most = 0

    async def count(_value: BuildReport, _attempt: Attempt) -> None:
        nonlocal in_hand, most
        in_hand += 1
        most = max(most, in_hand)
        await asyncio.sleep(0.02)
        in_hand -= 1

    seen = Seen(count)
    for n in range(12):
        await send(bus, n)
    async with at_work(recording(bus, seen, concurrency=3)):
        await wait_until_settled(bus)
    assert most == 3
    assert sorted(seen.numbers) == list(range(12))


async def test_at_stop_the_work_in_hand_is_finished_and_nothing_new_begun(bus: Bus) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_value: BuildReport, _attempt: Attempt) -> None:
        begun.set()
        await may_end.wait()

    seen = Seen(wait)
    await send(bus, 1)
    await send(bus, 2)
    async with at_work(recording(bus, seen)) as stop:
        await begun.wait()
        stop.set()
        may_end.set()
    assert seen.numbers == [1]
    after = Seen()
    async with at_work(recording(bus, after)):
        await wait_until_settled(bus)
    assert after.numbers == [2]


async def test_an_outage_at_stop_is_left_to_the_next_process_even_at_the_last_attempt(bus: Bus) -> None:
    begun = asyncio.Event()

    async def fail(_value: BuildReport, _attempt: Attempt) -> None:
        begun.set()
        raise Unavailable("the database does not answer")

    await send(bus)
    async with at_work(recording(bus, Seen(fail), max_attempts=1)) as stop:
        await begun.wait()
        stop.set()
    assert await graves(bus) == []
    after = Seen()
    async with at_work(recording(bus, after)):
        await wait_until_settled(bus)
    assert after.attempts == [2]


async def test_cancelled_work_goes_to_the_next_process_at_once(bus: Bus) -> None:
    begun = asyncio.Event()

    async def hang(_value: BuildReport, _attempt: Attempt) -> None:
        begun.set()
        await asyncio.Event().wait()

    seen = Seen(hang)
    await send(bus)
    task = asyncio.ensure_future(recording(bus, seen)(Stop()))
    await begun.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    after = Seen()
    started = time.monotonic()
    async with at_work(recording(bus, after)):
        await wait_until_settled(bus)
    assert after.attempts == [2]
    assert time.monotonic() - started < 5  # not the whole wait for an acknowledgement


async def test_a_kill_of_the_server_while_a_message_is_handled_loses_nothing(bus: Bus, nats_server: NatsServer) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def wait(_value: BuildReport, _attempt: Attempt) -> None:
        begun.set()
        await may_end.wait()

    seen = Seen(wait)
    await send(bus, 1)
    async with at_work(recording(bus, seen)):
        await begun.wait()
        nats_server.restart()
        may_end.set()  # perhaps into a connection that is dead and does not know it
        await wait_until_async(lambda: persisted(bus, 2), 15)
        await wait_until(lambda: 2 in seen.numbers, 5, what="consuming resumed")
        await wait_until_settled(bus)
    assert set(seen.numbers) == {1, 2}
    assert await graves(bus) == []


async def persisted(bus: Bus, number: int) -> bool:
    try:
        await send(bus, number)
    except Unavailable:
        return False
    return True


async def test_consuming_waits_for_a_consumer_that_is_not_there(bus: Bus, logged: Logged) -> None:
    async with bus.deadline("delete") as jetstream:
        config = (await jetstream.consumer_info(Stream.FACTS, Consumer.RECORDER)).config
        await jetstream.delete_consumer(Stream.FACTS, Consumer.RECORDER)
    seen = Seen()
    async with at_work(recording(bus, seen)):
        await wait_until(lambda: any(line["event"] == "consumer_away" for line in logged))
        async with bus.deadline("make") as jetstream:
            await jetstream.add_consumer(Stream.FACTS, config)
        await send(bus)
        await wait_until(lambda: seen.numbers == [1])


async def test_a_consumer_deleted_and_made_again_under_the_worker_is_heard_again(bus: Bus) -> None:
    seen = Seen()
    async with at_work(recording(bus, seen)):
        await send(bus, 1)
        await wait_until(lambda: seen.numbers == [1])
        async with bus.deadline("delete") as jetstream:
            config = (await jetstream.consumer_info(Stream.FACTS, Consumer.RECORDER)).config
            await jetstream.delete_consumer(Stream.FACTS, Consumer.RECORDER)
            await jetstream.add_consumer(Stream.FACTS, config)
        await send(bus, 2)
        await wait_until(lambda: 2 in seen.numbers, 10)


DEADLY = """
import asyncio, os, sys
from services.core.records import BuildReport
from services.core.subjects import Consumer
from services.kit.bus import Bus
from services.kit.config import BusConfig, Secret
from services.kit.consume import consume
from services.kit.process import Stop, Work

async def die(value, attempt):
    if value.attempt == 13:
        os._exit(9)

async def main():
    bus = await Bus.connect(BusConfig(nats_url=sys.argv[1], nats_user="test", nats_password=Secret("")))
    await consume(bus, Consumer.RECORDER, BuildReport, die, Stop(), max_attempts=2)

asyncio.run(main())
"""


@pytest.fixture
def deadly(nats_server: NatsServer, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    script = tmp_path / "deadly.py"
    script.write_text(DEADLY)
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, str(script), nats_server.url],
            env={"PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


async def test_a_handler_that_kills_its_process_every_time_is_buried_and_the_next_message_is_handled(
    quick: Bus, deadly: Callable[[], subprocess.Popen[bytes]]
) -> None:
    await send(quick, 13)
    for _ in range(2):
        process = deadly()
        await wait_until(lambda: process.poll() is not None, 20)  # noqa: B023
        assert process.returncode == 9
    process = deadly()
    await wait_until_settled(quick)
    assert process.poll() is None
    (grave,) = await graves(quick)
    assert grave.attempts == 3
    assert "no handler lived through it" in grave.reason
    process.send_signal(signal.SIGKILL)
