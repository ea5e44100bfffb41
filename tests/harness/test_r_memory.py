"""What bodies and results cost an instance of R in memory: no call may end one that has the memory it was given."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.harness.instances import until
from tests.harness.r_instances import RunningR, run_r

MEBIBYTE = 1024 * 1024
LIMIT = 512 * MEBIBYTE
MOST = 20 * MEBIBYTE  # bytes of a body then
MOST_VALUES = 327_680
SCRIPT = "predict <- function(x, size = FALSE) if (size) nchar(x) else x\n"
HEAD = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def bounded() -> Iterator[RunningR]:
    with run_r() as running:
        running.write(SCRIPT)
        running.ready(memory_bytes=LIMIT)
        yield running


def post(running: RunningR, body: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    with running.client(headers=HEAD) as client:
        return client.post("/model", content=body, headers=headers)


def text_body(size: int, *, of: bytes = b"a", more: bytes = b"") -> bytes:
    """One long text as `x`, `size` bytes all in all."""
    start, end = b'{"data": {"x": "', b'"' + more + b"}}"
    return start + of * (size - len(start) - len(end)) + end


def held(pid: int, name: str) -> int:
    """Bytes that a process holds (`VmRSS`), or held at most (`VmHWM`)."""
    (kilobytes,) = re.findall(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) * 1024


def processes(running: RunningR) -> set[int]:
    return running.worker_ids() | running.front_children()


def test_the_largest_body_that_is_taken_comes_back_within_the_limit_and_its_memory_is_given_back() -> None:
    with run_r() as running:
        running.write(SCRIPT)
        running.ready(memory_bytes=LIMIT)
        (worker,), before = running.front_children(), processes(running)
        idle = held(worker, "VmRSS")
        response = post(running, text_body(MOST))
        assert response.status_code == 200
        assert len(response.json()["result"]) > MOST - 100
        assert sum(held(pid, "VmHWM") for pid in before) < LIMIT
        until(lambda: held(worker, "VmRSS") < idle + MOST, "the memory to be given back")
        assert processes(running) == before


def test_the_most_values_that_are_taken_fit_within_the_limit() -> None:
    with run_r() as running:
        running.write(SCRIPT)
        running.ready(memory_bytes=LIMIT)
        before = processes(running)
        values = [b"[]", b'""', b"1", b"[[[[[[[[]]]]]]]]", b'{"a":1}']
        for value in values:
            marks = 1 + sum(map(value.count, (b",", b":", b"[", b"{")))
            body = b'{"data": {"x": [' + b",".join([value] * (MOST_VALUES // marks - 5)) + b"]}}"
            assert post(running, body).status_code == 200
        assert sum(held(pid, "VmHWM") for pid in before) < LIMIT
        assert processes(running) == before


def test_a_body_that_the_memory_is_not_enough_for_is_refused_with_the_reason(bounded: RunningR) -> None:
    body = text_body(MOST + 1)
    share = "a 16th of the instance's memory beyond 192 MB"
    told, pieces = post(bounded, body), post(bounded, iter([body[:1000], body[1000:]]))
    packed = post(bounded, gzip.compress(body, 1), **{"Content-Encoding": "gzip"})
    assert [answer.status_code for answer in (told, pieces, packed)] == [413] * 3
    assert told.json()["errors"] == [f"the body has {MOST + 1} bytes; at most {MOST} are taken, {share}"]
    for answer in (pieces, packed):
        assert answer.json()["errors"] == [f"the body has more than the {MOST} bytes that are taken, {share}"]


def test_a_body_of_too_many_values_is_refused_with_the_reason_before_they_are_made(bounded: RunningR) -> None:
    before = processes(bounded)
    answer = post(bounded, b'{"data": {"x": [' + b",".join([b"1"] * 5_000_000) + b"]}}")
    assert answer.status_code == 413
    share = "one for every 1024 bytes of the instance's memory beyond 192 MB"
    expected = rf"the body holds about 500000\d values; at most {MOST_VALUES} are taken, {share}"
    assert re.fullmatch(expected, answer.json()["errors"][0])
    assert sum(held(pid, "VmHWM") for pid in before) < LIMIT
    assert processes(bounded) == before


@pytest.mark.parametrize("of", [b",", rb"\",[", rb"\\{"], ids=["commas", "quotes", "backslashes"])
def test_what_stands_in_a_text_is_not_counted_as_values(bounded: RunningR, of: bytes) -> None:
    count = 2 * MOST_VALUES
    answer = post(bounded, text_body(0, more=b', "size": true').replace(b'""', b'"' + of * count + b'"'))
    assert answer.status_code == 200
    assert answer.json()["result"] == len(of.replace(rb"\"", b'"').replace(rb"\\", b" ")) * count


def test_texts_that_end_in_a_backslash_hide_no_values(bounded: RunningR) -> None:
    answer = post(bounded, b'{"data": {"x": [' + rb'"\\",' * (2 * MOST_VALUES) + b"1]}}")
    assert answer.status_code == 413
