"""Two readers of one language: the quick one may know less than gunicorn's, never other things."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness import wire
from modelway_harness.wire import Head, Malformed, Reader

NAMES = st.sampled_from(
    ["Host", "Content-Length", "content-length", "Content-Type", "Transfer-Encoding", "Connection", "X-A", "A B", ""]
)
VALUES = st.sampled_from(
    ["", "2", "02", "+2", " 2\t", "2,2", "\xb2", "close", "Keep-Alive", "x, Close", "chunked", "identity", "a\rb", "\0"]
) | st.text(st.characters(max_codepoint=255), max_size=9)
FIELDS = st.builds(
    lambda name, gap, value: f"{name}{gap}{value}", NAMES, st.sampled_from([":", ": ", " :", ""]), VALUES
)
LINES = st.sampled_from(
    ["POST /model HTTP/1.1", "GET /health HTTP/1.1", "GET /health HTTP/1.0", "POST  /model HTTP/1.1"]
)
HEADS = st.builds(
    lambda line, fields, end: end.join([line, *fields]) + "\r\n\r\n",
    LINES,
    st.lists(FIELDS, max_size=5),
    st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n "]),
)


def read_oddly(head: str) -> tuple[Head | None, bool]:
    """What gunicorn's parser makes of it."""
    reader = Reader()
    is_whole = reader._fed_odd(head.encode("latin-1") + b"{}")
    return reader.head, is_whole


@given(HEADS)
def test_what_the_quick_reader_takes_gunicorns_takes_and_means_the_same(head: str) -> None:
    quick = wire._plain(head)
    if quick is not None:
        assert read_oddly(head) == (quick, True)


@given(HEADS, st.integers(1, 40))
def test_a_request_means_the_same_in_however_many_pieces_it_comes(head: str, size: int) -> None:
    data = head.encode("latin-1") + b"{}" * 4
    assert list(outcomes(data, len(data))) == list(outcomes(data, size))


def outcomes(data: bytes, size: int) -> list[object]:
    """The requests that are read from `data`, `size` bytes at a time; the last may be a refusal."""
    found: list[object] = []
    reader = Reader()
    try:
        for start in range(0, len(data), size):
            is_whole = reader.feed(data[start : start + size])
            while is_whole:
                found.append((reader.head, reader.body()))
                reader.next()
                is_whole = not reader.is_between and reader.feed(b"")
    except Malformed as error:
        found.append(error.status)
    return found


@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        Reader().feed(data + b"\r\n\r\n")


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_large_body_is_put_together(size: int) -> None:
    body = bytes(range(256)) * 20
    head = f"POST /model HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert outcomes(head + body, size)[0][1] == body  # type: ignore[index]
