"""Requests as no usual client sends them, byte by byte through a real HAProxy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import psutil
import pytest

from tests.services.router.conftest import some_place, started
from tests.services.router.parts import HAProxyProcess, Place, StandIn, open_table
from tests.services.router.raw import Connection, head

MEGABYTE = 1 << 20
LARGE = 64 * MEGABYTE
BODY = b"{}"
CALL = head("Content-Length: 2") + BODY
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"2\r\n{}\r\n0\r\n\r\n"
TIMEOUT_S = 2.0


class Served(NamedTuple):
    place: Place
    haproxy: HAProxyProcess
    stand_in: StandIn


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """HAProxy in front of a single worker, for all tests of this file."""
    with some_place() as place:
        stand_in = StandIn(place.folder, "one.0")
        try:
            stand_in.start()
            with started(place, open_table(*stand_in.servers, timeout_s=TIMEOUT_S)) as haproxy:
                yield Served(place, haproxy, stand_in)
        finally:
            stand_in.stop()


@pytest.fixture
def connection(served: Served) -> Iterator[Connection]:
    connection = Connection(served.place)
    yield connection
    connection.close()


def calls(served: Served) -> int:
    """How many calls have reached the instance, this one included."""
    (server,) = served.stand_in.servers
    with httpx.Client(transport=httpx.HTTPTransport(uds=server.address), base_url="http://x") as direct:
        return int(direct.post("/model", headers={"X-Modelway-Server": server.name}).json()["calls"])


def seen(connection: Connection) -> dict[str, object]:
    """What the instance saw of a call that was answered well."""
    answer = connection.answer()
    assert answer.status == 200, answer
    document: dict[str, object] = json.loads(answer.body)
    return document


@pytest.mark.parametrize(
    "request_bytes",
    [
        head("Content-Length: 2", version="HTTP/1.0") + BODY,
        head("Content-Length: 2", "Connection: close") + BODY,
    ],
    ids=["HTTP/1.0", "close"],
)
def test_a_call_without_keep_alive_is_answered_and_closed(connection: Connection, request_bytes: bytes) -> None:
    assert seen(connection.send(request_bytes))["bytes"] == 2
    assert connection.is_closed()


@pytest.mark.parametrize(
    "request_bytes",
    [CALL, head("Content-Length: 2", "Connection: keep-alive", version="HTTP/1.0") + BODY],
    ids=["HTTP/1.1", "HTTP/1.0"],
)
def test_a_connection_that_is_kept_alive_carries_the_next_call(connection: Connection, request_bytes: bytes) -> None:
    for _ in range(3):
        assert seen(connection.send(request_bytes))["bytes"] == 2


def test_calls_sent_without_waiting_are_answered_in_their_order(connection: Connection) -> None:
    connection.send(*(head("Content-Length: 2", f"X-Number: {number}") + BODY for number in range(5)))
    numbers = [dict(seen(connection)["headers"])["x-number"] for _ in range(5)]  # type: ignore[call-overload]
    assert numbers == ["0", "1", "2", "3", "4"]


def test_who_expects_to_be_asked_for_the_body_is_asked_and_the_instance_is_not(connection: Connection) -> None:
    connection.send(head("Content-Length: 2", "Expect: 100-continue"))
    assert connection.answer().status == 100
    document = seen(connection.send(BODY))
    assert document["bytes"] == 2
    assert "expect" not in str(document["headers"])


def test_a_chunked_body_arrives_whole(connection: Connection) -> None:
    assert seen(connection.send(head(CHUNKED), b"2;a=b\r\n{ \r\n", b"1\r\n}\r\n", b"0\r\n\r\n"))["bytes"] == 3


REFUSED = {
    "two lengths": head("Content-Length: 2", "Content-Length: 3") + BODY,
    "two lengths in one line": head("Content-Length: 2, 3") + BODY,
    "negative length": head("Content-Length: -2") + BODY,
    "signed length": head("Content-Length: +2") + BODY,
    "hexadecimal length": head("Content-Length: 0x2") + BODY,
    "no length": head("Content-Length: ") + BODY,
    "overflowing length": head("Content-Length: 99999999999999999999") + BODY,
    "unknown coding": head("Transfer-Encoding: xchunked") + CHUNKS,
    "chunked twice": head(CHUNKED, CHUNKED) + CHUNKS,
    "chunked not last": head("Transfer-Encoding: chunked, identity") + CHUNKS,
    "coding behind a control character": head("Transfer-Encoding:\x0bchunked") + CHUNKS,
    "space before the colon": head("Transfer-Encoding : chunked") + CHUNKS,
    "chunked in HTTP/1.0": head(CHUNKED, version="HTTP/1.0") + CHUNKS,
    "chunk size that is no number": head(CHUNKED) + b"zz\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": head(CHUNKED) + b"-2\r\n{}\r\n0\r\n\r\n",
    "prefixed chunk size": head(CHUNKED) + b"0x2\r\n{}\r\n0\r\n\r\n",
    "overflowing chunk size": head(CHUNKED) + b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk longer than it says": head(CHUNKED) + b"2\r\n{}XX\r\n0\r\n\r\n",
    "chunk without carriage returns": head(CHUNKED) + b"2\n{}\n0\n\n",
    "bare carriage return": head("X-A: a\rb", "Content-Length: 2") + BODY,
    "null": head("X-A: a\0b", "Content-Length: 2") + BODY,
    "two hosts": head("Host: y", "Content-Length: 2") + BODY,
    "two targets": head("Content-Length: 2").replace(b" HTTP/", b" /x HTTP/") + BODY,
    "no version": b"GET /\r\n\r\n",
    "head without end": head("X-A: " + "a" * 17_000),
}


@pytest.mark.parametrize("shape", REFUSED)
def test_a_request_that_two_servers_could_read_differently_is_refused(
    connection: Connection, served: Served, shape: str
) -> None:
    """And what follows it on the connection is no request of anybody."""
    before = calls(served)
    assert connection.send(REFUSED[shape] + CALL).answer().status == 400
    assert connection.is_closed()
    assert calls(served) == before + 1


def test_http_2_is_not_spoken(connection: Connection) -> None:
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert [connection.answer().status for _ in range(2)] == [400, 400]
    assert connection.is_closed()


NORMALISED = {
    "the same length twice": (head("Content-Length: 2", "Content-Length: 2") + BODY, {"content-length": "2"}),
    "a folded line": (head("X-A: b\r\n c", "Content-Length: 2") + BODY, {"x-a": "b   c"}),
    "a folded coding": (head("Transfer-Encoding:\r\n chunked") + CHUNKS, {"transfer-encoding": "chunked"}),
    "lines without carriage returns": (head("Content-Length: 2").replace(b"\r", b"") + BODY, {"content-length": "2"}),
}


@pytest.mark.parametrize("shape", NORMALISED)
def test_a_request_that_can_be_read_in_one_way_only_reaches_the_instance_in_a_clean_form(
    connection: Connection, shape: str
) -> None:
    request_bytes, expected = NORMALISED[shape]
    document = seen(connection.send(request_bytes))
    headers = dict(document["headers"])  # type: ignore[call-overload]
    assert {name: headers[name] for name in expected} == expected
    assert document["bytes"] == 2


def test_of_a_length_and_a_coding_only_the_coding_reaches_the_instance_and_the_connection_ends(
    connection: Connection,
) -> None:
    document = seen(connection.send(head("Content-Length: 2", CHUNKED) + CHUNKS + CALL))
    assert "content-length" not in dict(document["headers"])  # type: ignore[call-overload]
    assert document["bytes"] == 2
    assert connection.is_closed()


def test_a_bad_chunk_after_a_good_one_is_refused_in_words_of_ours(connection: Connection) -> None:
    """HAProxy has taken the head by then: it asked for the body."""
    connection.send(head(CHUNKED, "Expect: 100-continue"))
    assert connection.answer().status == 100
    answer = connection.send(b"2\r\n{}\r\n", b"zz\r\n").answer()
    assert answer.status == 400
    assert json.loads(answer.body)["errors"] == ["The request is not HTTP as this server understands it."]


@pytest.mark.parametrize("request_bytes", [b"no HTTP\r\n\r\n", head(CHUNKED) + b"zz\r\n"], ids=["line", "chunk"])
def test_what_is_no_http_at_all_is_refused_in_words_that_haproxy_does_not_let_us_choose(
    connection: Connection, request_bytes: bytes
) -> None:
    answer = connection.send(request_bytes).answer()
    assert (answer.status, "text/html" in answer.head) == (400, True)
    assert connection.is_closed()


def resident(haproxy: HAProxyProcess) -> int:
    return sum(each.memory_info().rss for each in psutil.Process(haproxy.pid).children())


@pytest.mark.parametrize("way", ["up", "up in chunks", "down"])
def test_a_large_body_streams_through(connection: Connection, served: Served, way: str) -> None:
    before = peak = resident(served.haproxy)
    if way == "down":
        connection.send(head("Content-Length: 0", f"X-Test-Answer-Bytes: {LARGE}"))
        assert len(connection.answer().body) == LARGE
        peak = resident(served.haproxy)
    else:
        connection.send(head(CHUNKED if way == "up in chunks" else f"Content-Length: {LARGE}"))
        for _ in range(LARGE // MEGABYTE):
            part = b" " * MEGABYTE
            connection.send(b"100000\r\n" + part + b"\r\n" if way == "up in chunks" else part)
            peak = max(peak, resident(served.haproxy))
        assert seen(connection.send(b"0\r\n\r\n" if way == "up in chunks" else b""))["bytes"] == LARGE
    print(f"{(peak - before) / MEGABYTE:.1f} MB more")
    assert peak - before < LARGE / 8


def test_a_body_that_does_not_come_is_cut_after_the_request_timeout(connection: Connection) -> None:
    began = time.monotonic()
    answer = connection.send(head("Content-Length: 100"), b"{").answer()
    assert answer.status == 408
    assert json.loads(answer.body)["errors"] == ["The request did not arrive in time."]
    assert time.monotonic() - began > TIMEOUT_S - 0.5
