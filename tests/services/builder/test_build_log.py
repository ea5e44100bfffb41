"""What becomes of what a build says and prints."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.builder import build_log
from services.builder.build_log import BuildLog
from services.core.records import LogLine
from tests.parts import wait_until
from tests.services.builder.parts import NOW, Lines


async def test_lines_arrive_while_the_build_goes_on() -> None:
    lines = Lines()
    async with lines.log.opened():
        lines.log.say("begins")
        await wait_until(lambda: lines.text == "begins")


async def test_what_programs_print_is_cut_into_lines_wherever_it_comes_in_pieces() -> None:
    lines = Lines()
    async with lines.log.opened():
        for piece in (b"on", b"e\r\ntwo\nth", b"r", b"ee"):
            await lines.log.write(piece)
    assert [line.text for line in lines.lines] == ["one", "two", "three"]
    assert {line.stream for line in lines.lines} == {"stdout"}


async def test_the_platforms_own_words_are_marked_and_keep_their_place() -> None:
    lines = Lines()
    async with lines.log.opened():
        await lines.log.write(b"unfinished")
        lines.log.say("ours\nagain ours")
        await lines.log.write(b"next\n")
    assert [(line.stream, line.text) for line in lines.lines] == [
        ("stdout", "unfinished"),
        ("modelway", "ours"),
        ("modelway", "again ours"),
        ("stdout", "next"),
    ]


async def test_a_password_in_an_address_is_not_shown() -> None:
    lines = Lines()
    async with lines.log.opened():
        await lines.log.write(b"fetching https://someone:secret@index/simple\n")
    assert lines.text == "fetching https://***@index/simple"


async def test_a_line_without_an_end_is_cut() -> None:
    lines = Lines()
    async with lines.log.opened():
        await lines.log.write(b"x" * 100_000)
    assert max(len(line.text) for line in lines.lines) == build_log.LINE_BYTES
    assert len("".join(line.text for line in lines.lines)) == 100_000


async def test_of_a_gigabyte_the_beginning_and_the_end_are_kept() -> None:
    lines = Lines()
    chunk = b"noise noise noise noise noise noise noise noise noise noise noise noise noise noise\n" * 780
    async with lines.log.opened():
        for _ in range((1 << 30) // len(chunk)):
            await lines.log.write(chunk)
        await lines.log.write(b"the error is here\n")
        lines.log.say("Build failed")
    size = sum(len(line.text) for line in lines.lines)
    assert size < build_log.LIMIT_BYTES + 2 * build_log.TAIL_BYTES
    assert lines.lines[-2].text == "the error is here"
    assert lines.lines[-1].text == "Build failed"
    assert "bytes are left out" in lines.text


async def test_a_slow_bus_holds_up_the_program_that_prints_and_nothing_piles_up() -> None:
    gate = asyncio.Event()

    async def publish(lines: Sequence[LogLine]) -> None:
        await gate.wait()

    log = BuildLog(publish, lambda: NOW)
    async with log.opened():

        async def print_a_lot() -> None:
            for _ in range(50):
                await log.write(b"x" * 1000 + b"\n" * 1000)

        printing = asyncio.create_task(print_a_lot())
        done, _ = await asyncio.wait({printing}, timeout=0.3)
        assert not done
        gate.set()
        await printing


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(min_value=0, max_value=300))
def test_whatever_comes_is_shown_in_order_and_within_the_bound(pieces: list[bytes], limit: int) -> None:
    async def run() -> list[LogLine]:
        lines = Lines()
        log = BuildLog(lines._keep, lambda: NOW, limit_bytes=limit)
        async with log.opened():
            for piece in pieces:
                await log.write(piece)
        return lines.lines

    shown = [line.text for line in asyncio.run(run()) if line.stream == "stdout"]
    whole = b"".join(pieces)
    assert all("\n" not in text and "\0" not in text for text in shown)
    if len(whole) <= limit and whole.isascii():
        lines = whole.decode().removesuffix("\n").split("\n") if whole else []
        assert shown == [line.rstrip("\r").replace("\0", "") for line in lines]
