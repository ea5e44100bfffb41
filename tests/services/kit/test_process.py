from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from services.kit.healthz import serve_health
from services.kit.logs import set_up_logs
from services.kit.process import Stop, run
from services.kit.wake import Wake
from tests.parts import free_port, wait_until_async
from tests.services.kit.samples import at_work

Logged = list[structlog.typing.EventDict]

PROGRAM = """
import asyncio, logging, sys
import structlog
from services.kit.config import Secret
from services.kit.logs import set_up_logs
from services.kit.process import run

set_up_logs("sample", "sample-1", "info")
log = structlog.get_logger()

async def patient(stop):
    with structlog.contextvars.bound_contextvars(model="m"):
        log.info("begun", key=Secret("hidden"))
        logging.getLogger("library").warning("chatter %s", 1)
        print("ready", flush=True)
        await stop.wait()
        log.info("ended")

async def deaf(stop):
    await asyncio.Event().wait()

async def ending(stop):
    await asyncio.sleep(0.05)

async def failing(stop):
    raise ValueError("a bug")

sys.exit(run(*(globals()[name] for name in sys.argv[1:]), drain_s=0.3))
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    return script


def start(program: Path, *works: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(program), *works],
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logged_by(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    _, errors = process.communicate(timeout=20)
    return [json.loads(line) for line in errors.splitlines()]


@pytest.fixture
def patient(program: Path) -> Iterator[subprocess.Popen[str]]:
    process = start(program, "patient")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_works_in_their_own_time_and_the_exit_code_is_0(
    patient: subprocess.Popen[str], number: signal.Signals
) -> None:
    patient.send_signal(number)
    assert [line["event"] for line in logged_by(patient)] == ["begun", "chatter 1", "ended"]
    assert patient.returncode == 0


def test_every_line_of_the_log_is_json_with_service_level_time_and_the_bound_context(
    patient: subprocess.Popen[str],
) -> None:
    patient.send_signal(signal.SIGTERM)
    begun, chatter, _ = logged_by(patient)
    assert begun["service"] == chatter["service"] == "sample"
    assert begun["service_id"] == chatter["service_id"] == "sample-1"
    assert begun["model"] == "m"
    assert (begun["level"], chatter["level"]) == ("info", "warning")
    assert str(begun["at"]).endswith("Z")


def test_a_secret_in_a_log_line_is_stars(patient: subprocess.Popen[str]) -> None:
    patient.send_signal(signal.SIGTERM)
    assert logged_by(patient)[0]["key"] == "***"


def test_a_work_that_does_not_hear_is_cancelled_after_the_drain(program: Path) -> None:
    process = start(program, "patient", "deaf")
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    lines = logged_by(process)
    assert process.returncode == 0
    assert time.monotonic() - begun < 3
    assert [line["works"] for line in lines if line["event"] == "drain_over"] == [["deaf"]]


@pytest.mark.parametrize(("name", "word"), [("ending", "ending"), ("failing", "ValueError: a bug")])
def test_a_work_that_ends_or_fails_by_itself_ends_the_process_with_1_and_says_so(
    program: Path, name: str, word: str
) -> None:
    process = start(program, "patient", name)
    lines = logged_by(process)
    assert process.returncode == 1
    (line,) = [line for line in lines if line["event"] == "work_ended"]
    assert line["work"] == name
    assert word in json.dumps(line)
    assert lines[-1]["event"] == "ended"  # the other work was told, and could finish


def test_signal_handlers_are_gone_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def raise_signal(stop: Stop) -> None:
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()

    assert run(raise_signal, drain_s=1) == 0
    assert signal.getsignal(signal.SIGTERM) == before


async def test_waiting_with_a_time_ends_early_at_stop() -> None:
    stop = Stop()
    assert not await stop.wait_for(0.01)
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert await stop.wait_for(30)


async def test_a_ring_nobody_awaited_wakes_the_next_who_waits_and_many_count_as_one() -> None:
    wake = Wake()
    wake.ring()
    wake.ring()
    assert await wake.wait(0.01)
    assert not await wake.wait(0.01)


async def test_a_wait_that_is_cancelled_loses_no_ring() -> None:
    wake = Wake()
    waiting = asyncio.create_task(wake.wait(30))
    await asyncio.sleep(0)
    waiting.cancel()
    wake.ring()
    await asyncio.gather(waiting, return_exceptions=True)
    assert await wake.wait(0.01)


async def test_stop_ends_a_wait_for_a_ring() -> None:
    wake, stop = Wake(), Stop()
    asyncio.get_running_loop().call_later(0.01, stop.set)
    assert not await wake.wait_or(stop, 30)
    wake.ring()
    assert await wake.wait_or(Stop(), 30)


async def test_healthz_is_ok_while_every_check_is_and_names_what_fails() -> None:
    port, trouble = free_port(), None

    async def health(stop: Stop) -> None:
        await serve_health(stop, host="127.0.0.1", port=port, checks={"bus": lambda: trouble, "disk": lambda: None})

    async with at_work(health), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:

        async def answers() -> bool:
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await wait_until_async(answers)
        good = await client.get("/healthz?verbose")
        trouble = "the bus does not answer"
        bad = await client.get("/healthz")
        assert good.json() == {"status": "ok", "checks": {"bus": "ok", "disk": "ok"}}
        assert bad.status_code == 503
        assert bad.json() == {"status": "failing", "checks": {"bus": "the bus does not answer", "disk": "ok"}}
        assert (await client.get("/other")).status_code == 404
        assert (await client.post("/healthz")).status_code == 405
        assert (await client.head("/healthz")).content == b""


async def test_a_client_that_sends_nothing_or_too_much_does_not_hold_healthz() -> None:
    port = free_port()

    async def health(stop: Stop) -> None:
        await serve_health(stop, host="127.0.0.1", port=port, checks={})

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async with at_work(health):
        await wait_until_async(listens)
        silent_reader, silent = await asyncio.open_connection("127.0.0.1", port)
        _, loud = await asyncio.open_connection("127.0.0.1", port)
        loud.write(b"x" * 100_000)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        async with asyncio.timeout(5):
            assert await silent_reader.read() == b""
        for writer in (silent, loud):
            writer.close()


def test_an_unknown_level_is_info(capfd: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        set_up_logs("s", "s-1", "loud")
        structlog.get_logger().debug("quiet")
        structlog.get_logger().info("heard")
    finally:
        structlog.configure(**before)
    written = capfd.readouterr().err
    assert "heard" in written
    assert "quiet" not in written
