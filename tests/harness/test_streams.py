"""Results that go out piece by piece, over a real socket."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from time import monotonic
from typing import Any

import pytest
from modelway_harness.flow import EVENTS, LINES, flow_for

from tests.harness.instances import until
from tests.harness.served import Served, asked

Serve = Callable[..., Served]
LONG_S = 20.0
CALL = b'{"data": {}}'
JSON, NDJSON, SSE = "application/json", LINES.kind, EVENTS.kind
REQUEST_ID = "ABCDEFGHIJKLMNOP"


class Source:
    """A function whose pieces the test hands out: a value, an error to raise, or None for the end."""

    def __init__(self) -> None:
        self.given: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.left = threading.Event()  # its `finally` has run

    def __call__(self) -> Iterator[object]:
        try:
            while (piece := self.given.get(timeout=LONG_S)) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            self.left.set()


@pytest.fixture
def source() -> Source:
    return Source()


class Stream:
    """One call whose answer is read line by line, as it comes."""

    def __init__(self, served: Served, accept: str = NDJSON) -> None:
        self.connection = served.connection()
        self.response: Any = None
        headers = {"Content-Type": JSON, "Accept": accept, "X-Request-Id": REQUEST_ID}
        self.connection.request("POST", "/model", CALL, headers)

    def begun(self) -> http.client.HTTPResponse:
        self.response = response = self.connection.getresponse()
        return response

    def line(self) -> Any:
        return json.loads(self.response.readline())

    def close(self) -> None:
        """Go away at once."""
        if self.response is not None:
            self.response.close()
        self.connection.close()


Open = Callable[..., Stream]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens streams, and closes them at the end."""
    with ExitStack() as open_streams:
        yield lambda *args: open_streams.enter_context(closing(Stream(*args)))


def call(served: Served, accept: str, **headers: str) -> Any:
    return served.request("POST", "/model", CALL, {"Content-Type": JSON, "Accept": accept, **headers})


def count() -> Iterator[int]:
    yield from (1, 2)


async def count_later() -> AsyncIterator[int]:
    for each in (1, 2):
        yield each


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", JSON),
        ("*/*", JSON),
        (JSON, JSON),
        ("text/html, */*;q=0.8", JSON),
        (NDJSON, NDJSON),
        (SSE, SSE),
        ("TEXT/Event-Stream; charset=utf-8", SSE),
        (f"{SSE}, {NDJSON}", SSE),
        (f"{SSE};q=0.5, {NDJSON}", NDJSON),
        (f"{SSE}, */*;q=0.1", SSE),
        (f"*/*, {SSE}", SSE),
        (f"{SSE};q=0.9, */*", JSON),
        (f"{JSON}, {SSE}", JSON),
        (f"{SSE}, {JSON}", SSE),
        (f"{JSON};q=0.1, {NDJSON};q=0.2", NDJSON),
        (f"{NDJSON};q=0", JSON),
        (f"{NDJSON};q=much", JSON),
        (f"{NDJSON};q=nan", JSON),
        (",;,q=1", JSON),
    ],
)
def test_a_stream_is_for_who_asks_for_it_by_name(accept: str, kind: str) -> None:
    flow = flow_for(accept)
    assert (flow.kind if flow else JSON) == kind


@pytest.mark.parametrize("function", [count, count_later, lambda: iter([1, 2])])
def test_lines_are_results_and_the_last_is_all_the_rest(serve: Serve, function: Callable[..., object]) -> None:
    reply = call(serve(function), NDJSON, **{"X-Request-Id": REQUEST_ID})
    assert reply.headers["Content-Type"] == NDJSON
    assert reply.headers["X-Request-Id"] == REQUEST_ID
    *pieces, last = map(json.loads, reply.data.decode().splitlines())
    assert pieces == [{"result": 1}, {"result": 2}]
    assert sorted(last) == ["model_time_in_ms", "release", "request_id", "timing"]
    assert last["request_id"] == REQUEST_ID
    assert last["release"]["model_version_number"] == 3


def test_events_are_results_and_the_last_is_the_end(serve: Serve) -> None:
    reply = call(serve(count), SSE)
    assert reply.headers["Content-Type"] == SSE
    first, second, end, rest = reply.data.decode().split("\n\n")
    assert (first, second, rest) == ("data: 1", "data: 2", "")
    name, data = end.split("\n")
    assert name == "event: end"
    assert json.loads(data.removeprefix("data: "))["request_id"] == reply.headers["X-Request-Id"]


@pytest.mark.parametrize(("accept", "is_stream"), [("*/*", False), (JSON, False), (NDJSON, True)])
def test_who_asks_for_no_stream_gets_a_list(serve: Serve, accept: str, is_stream: bool) -> None:
    reply = call(serve(count), accept)
    assert ("Content-Length" in reply.headers) is not is_stream
    if not is_stream:
        assert reply.json()["result"] == [1, 2]


def test_http_1_0_knows_no_chunks_and_gets_a_list(serve: Serve) -> None:
    head = f"POST /model HTTP/1.0\r\nAccept: {NDJSON}\r\nContent-Type: {JSON}\r\nContent-Length: {len(CALL)}\r\n\r\n"
    answer = serve(count).bytes(head.encode() + CALL)
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["result"] == [1, 2]


@pytest.mark.parametrize("result", [[1, 2], "text", None, {"errors": 1}])
def test_a_whole_result_is_one_piece(serve: Serve, result: object) -> None:
    lines = call(serve(lambda: result), NDJSON).data.decode().splitlines()
    assert [json.loads(line) for line in lines[:-1]] == [{"result": result}]


def test_of_a_result_without_pieces_only_the_end_is_sent(serve: Serve) -> None:
    reply = call(serve(lambda: iter(())), NDJSON)
    assert list(json.loads(reply.data))[-1] == "release"
    assert b"errors" not in reply.data


def test_a_piece_arrives_when_it_is_made(serve: Serve, source: Source, opened: Open) -> None:
    stream = opened(serve(source))
    source.given.put("first")
    assert stream.begun().status == 200
    assert stream.line() == {"result": "first"}
    source.given.put("second")
    assert stream.line() == {"result": "second"}
    source.given.put(None)
    assert stream.line()["request_id"] == REQUEST_ID
    assert stream.response.read() == b""


def test_a_stream_counts_the_functions_time_and_not_the_callers(serve: Serve, source: Source, opened: Open) -> None:
    stream = opened(serve(source))
    source.given.put("first")
    timing = stream.begun().headers["Server-Timing"]
    assert "import;dur=" in timing
    assert "wait;dur=" in timing
    source.given.put(None)
    stream.line()
    assert stream.line()["timing"] > 0


def test_what_fails_before_the_first_piece_fails_like_any_call(serve: Serve, source: Source) -> None:
    source.given.put(ValueError("no such flower"))
    reply = call(serve(source), NDJSON)
    assert (reply.status_code, reply.headers["Content-Type"]) == (500, JSON)
    assert reply.json()["errors"] == ["ValueError: no such flower"]
    assert "compute;dur=" in reply.headers["Server-Timing"]


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (ValueError("no such flower"), "ValueError: no such flower"),
        (SystemExit(3), "SystemExit: 3"),
        ({"a": object()}, "predict() returned what JSON cannot hold: result[1]['a'] is of type object"),
    ],
)
def test_what_fails_half_way_is_the_last_piece(
    serve: Serve, source: Source, piece: object, told: str, opened: Open
) -> None:
    served = serve(source)
    stream = opened(served)
    source.given.put(1)
    source.given.put(piece)
    assert stream.begun().status == 200
    assert stream.line() == {"result": 1}
    last = stream.line()
    assert (last["errors"], last["request_id"]) == ([told], REQUEST_ID)
    assert stream.response.read() == b""
    assert source.left.wait(LONG_S)
    source.given.put(None)
    reply = asked(stream.connection, "POST", "/model", CALL, {"Content-Type": JSON})
    assert reply.json()["result"] == []


def test_half_way_events_have_their_error(serve: Serve, source: Source) -> None:
    source.given.put(1)
    source.given.put(ValueError("no"))
    reply = call(serve(source), SSE)
    *_, error, rest = reply.data.decode().split("\n\n")
    name, data = error.split("\n")
    assert (name, rest) == ("event: error", "")
    assert json.loads(data.removeprefix("data: "))["errors"] == ["ValueError: no"]


def test_a_caller_that_goes_away_ends_the_function(serve: Serve, source: Source, opened: Open) -> None:
    served = serve(source)
    stream = opened(served)
    source.given.put("first")
    stream.begun()
    stream.line()
    stream.close()
    source.given.put("for nobody")
    assert source.left.wait(LONG_S)
    source.given.put(None)
    assert call(served, JSON).json()["result"] == []
    assert served.asked == []


def test_a_function_that_fails_while_it_is_ended_harms_nobody(
    serve: Serve, capfd: pytest.CaptureFixture[str], opened: Open
) -> None:
    go_on, seen = threading.Event(), threading.Event()

    def stubborn() -> Iterator[int]:
        try:
            yield 1
            assert go_on.wait(LONG_S)
            yield 2
        finally:
            seen.set()
            raise ValueError("not now")

    served = serve(stubborn)
    stream = opened(served)
    stream.begun()
    stream.line()
    stream.close()
    go_on.set()
    assert seen.wait(LONG_S)
    assert call(served, JSON).status_code == 500
    assert "not now" in capfd.readouterr().err


def much(left: threading.Event) -> Callable[[], Iterator[str]]:
    """Pieces without end, each larger than a socket holds."""

    def predict() -> Iterator[str]:
        try:
            while True:
                yield "x" * 1_000_000
        finally:
            left.set()

    return predict


def test_who_reads_slowly_slows_the_function_down_and_keeps_nobody_else_from_health(serve: Serve, opened: Open) -> None:
    made: list[int] = []

    def predict() -> Iterator[str]:
        for each in range(40):
            made.append(each)
            yield "x" * 100_000

    served = serve(predict)
    stream = opened(served)
    stream.begun()
    for _ in range(20):
        assert served.request("GET", "/health").status_code == 200
    busy = call(served, JSON)
    assert (busy.status_code, busy.json()["errors"]) == (503, ["this worker is busy"])
    assert "wait;dur=" in busy.headers["Server-Timing"]
    assert len(made) < 20
    lines = [stream.line() for _ in range(41)]
    assert all(line["result"] for line in lines[:-1])
    assert lines[-1]["timing"]


def test_who_does_not_read_to_the_end_is_cut_off_at_the_deadline_and_the_worker_lives(
    serve: Serve, opened: Open
) -> None:
    left = threading.Event()
    served = serve(much(left), request_timeout_s=0.3)
    stream = opened(served)
    stream.begun()
    assert left.wait(LONG_S)
    assert served.request("GET", "/health").status_code == 200
    assert served.asked == []
    until(lambda: served.reception.lobby.is_empty, "who does not read has been left")


def test_a_stream_that_is_read_ends_at_the_deadline_with_an_error(serve: Serve, opened: Open) -> None:
    left = threading.Event()
    served = serve(much(left), request_timeout_s=0.3)
    stream = opened(served)
    stream.begun()
    last = [json.loads(line) for line in stream.response][-1]
    assert last["errors"] == ["the call took longer than 0.3 s, the request timeout"]
    assert last["request_id"] == REQUEST_ID
    assert left.wait(LONG_S)
    assert served.request("GET", "/health").status_code == 200
    assert served.asked == []


def test_a_function_that_is_silent_at_the_deadline_is_ended_at_its_next_piece(
    serve: Serve, source: Source, opened: Open
) -> None:
    served = serve(source, request_timeout_s=0.3)
    stream = opened(served)
    source.given.put(1)
    stream.begun()
    assert stream.line() == {"result": 1}
    assert stream.line()["errors"]
    source.given.put(2)
    assert stream.response.read() == b""
    assert source.left.wait(LONG_S)
    assert served.asked == []


def test_a_generator_whose_list_takes_too_long_is_a_504_and_ended_at_its_next_piece(
    serve: Serve, source: Source
) -> None:
    served = serve(source, request_timeout_s=0.3)
    source.given.put(1)
    late = call(served, JSON)
    assert late.status_code == 504
    assert late.json()["errors"] == ["the call took longer than 0.3 s, the request timeout"]
    assert "compute;dur=" in late.headers["Server-Timing"]
    assert not source.left.is_set()
    source.given.put(2)
    assert source.left.wait(LONG_S)
    for each in (3, None):
        source.given.put(each)
    until(lambda: not served.reception.is_busy, "the worker is free")
    assert call(served, JSON).json()["result"] == [3]
    assert served.asked == []


def test_a_generator_whose_list_takes_too_long_costs_its_worker_when_it_stays_silent(
    serve: Serve, source: Source
) -> None:
    served = serve(source, request_timeout_s=0.3)
    assert call(served, JSON).status_code == 504
    until(lambda: served.asked[:1] == ["end"], "the worker ends")
    source.given.put(None)


def test_a_function_that_stays_silent_costs_its_worker(serve: Serve, source: Source, opened: Open) -> None:
    served = serve(source, request_timeout_s=0.3)
    stream = opened(served)
    source.given.put(1)
    stream.begun()
    stream.line()
    assert stream.line()["errors"]
    until(lambda: served.asked[:1] == ["end"], "the worker ends")
    source.given.put(None)


def test_a_worker_that_stops_finishes_its_stream_first(serve: Serve, source: Source, opened: Open) -> None:
    served = serve(source)
    stream = opened(served)
    source.given.put(1)
    stream.begun()
    stream.line()
    served.serving.stop()
    until(lambda: served.reception.is_stopping, "it knows that it stops")
    source.given.put(2)
    assert stream.line() == {"result": 2}
    source.given.put(None)
    assert stream.line()["request_id"] == REQUEST_ID


def test_a_caller_that_sends_more_meanwhile_is_answered_afterwards(serve: Serve, source: Source) -> None:
    served = serve(source)
    head = f"POST /model HTTP/1.1\r\nAccept: {NDJSON}\r\nContent-Length: {len(CALL)}\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(LONG_S)
        raw.connect(str(served.path))
        raw.sendall(head + CALL)
        source.given.put(1)
        first = raw.recv(65536)
        raw.sendall(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        source.given.put(None)
        rest = b"".join(iter(lambda: raw.recv(65536), b""))
    assert first.count(b"HTTP/1.1 200") == 1
    assert rest.index(b"0\r\n\r\n") < rest.index(b"HTTP/1.1 200")
    assert b'"status": "ok"' in rest


def timings(reply: Any) -> dict[str, float]:
    return {
        name: float(value)
        for name, _, value in (each.strip().partition(";dur=") for each in reply.headers["Server-Timing"].split(","))
    }


def test_an_answer_tells_where_its_time_went(serve: Serve, source: Source) -> None:
    served = serve(source)
    began = monotonic()
    source.given.put(None)
    reply = call(served, JSON)
    told = timings(reply)
    assert list(told) == ["import", "wait", "compute", "encode"]
    assert told["compute"] == pytest.approx(reply.json()["timing"], abs=0.001)
    assert told["wait"] + told["compute"] + told["encode"] < (monotonic() - began) * 1000
    assert not served.request("GET", "/health").headers["Server-Timing"]


def test_a_refused_call_tells_how_long_it_waited(serve: Serve) -> None:
    reply = serve(count).request("POST", "/model", b"[", {"Content-Type": JSON})
    assert reply.status_code == 400
    assert list(timings(reply)) == ["import", "wait"]
