"""Bodies of every size and shape: what is taken, what is refused and how, on a worker's real socket."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelway_harness.body import unpacked
from modelway_harness.decoding import NotReadable

from tests.harness.served import Reply, Served

MOST = 64 << 20
ZIPPED = {"Content-Encoding": "gzip"}
Serve = Callable[..., Served]


@pytest.fixture(scope="module")
def counter(serve: Serve) -> Served:
    """Answers with the length of its argument, and takes bodies of up to 64 MB."""

    def predict(x: str) -> int:
        return len(x)

    return serve(predict, max_body_bytes=MOST)


@pytest.fixture(scope="module")
def echo(serve: Serve) -> Served:
    def predict(x: object) -> object:
        return x

    return serve(predict, max_body_bytes=100_000)


def of_size(size: int) -> bytes:
    """A call whose body has exactly `size` bytes."""
    start, end = b'{"data": {"x": "', b'"}}'
    return start + b"a" * (size - len(start) - len(end)) + end


def post(served: Served, body: bytes, **headers: str) -> Reply:
    return served.request("POST", "/model", body, {name.replace("_", "-"): told for name, told in headers.items()})


def message(reply: Reply) -> str:
    (told,) = reply.json()["errors"]
    assert isinstance(told, str)
    return told


def in_chunks(body: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(body), size):
        piece = body[start : start + size]
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def chunked(served: Served, body: bytes, *, size: int) -> tuple[int, bytes]:
    """Status and body of the answer to a body that comes in chunks."""
    head = b"POST /model HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = served.bytes(head, *in_chunks(body, size))
    return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("size", [20, 1000, 16 << 10, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 1 << 20, MOST])
def test_a_body_of_any_size_up_to_the_most_is_a_call(counter: Served, size: int) -> None:
    assert post(counter, of_size(size)).json()["result"] == size - 19


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_a_body_in_chunks_of_any_size_is_a_call(counter: Served, size: int) -> None:
    length = min(size * 300, 2 << 20) + 20
    status, told = chunked(counter, of_size(length), size=size)
    assert (status, json.loads(told)["result"]) == (200, length - 19)


def test_one_byte_more_than_the_most_is_refused_before_it_comes(counter: Served) -> None:
    head = b"POST /model HTTP/1.1\r\nHost: m\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (MOST + 1)
    assert counter.bytes(head).startswith(b"HTTP/1.1 413 ")


def test_a_packed_body_means_what_it_was_before_it_was_packed(counter: Served) -> None:
    reply = counter.request("POST", "/model", gzip.compress(of_size(1 << 20)), ZIPPED)
    assert reply.json()["result"] == (1 << 20) - 19


def test_a_packed_body_may_be_in_several_members_and_in_chunks(echo: Served) -> None:
    body = gzip.compress(b'{"data": ') + gzip.compress(b'{"x": [1, 2]}}')
    head = b"POST /model HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
    answer = echo.bytes(head, *in_chunks(body, 5))
    assert b'"result": [1,2]' in answer


@pytest.mark.parametrize("length", [100_001, 50_000_000])
def test_a_body_that_is_too_large_once_it_is_unpacked_is_a_413(echo: Served, length: int) -> None:
    reply = echo.request("POST", "/model", gzip.compress(b" " * length), ZIPPED)
    assert (reply.status_code, message(reply)) == (413, "the body has more than the 100000 bytes that are taken")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"data": {"x": 1}}', "the body is not gzip, as its Content-Encoding says"),
        (zlib.compress(b"{}"), "the body is not gzip, as its Content-Encoding says"),
        (gzip.compress(of_size(1000), mtime=0)[:-9], "the body is not whole gzip"),
        (gzip.compress(b"{}", mtime=0)[:-6] + b"abcdef", "the body is not gzip, as its Content-Encoding says"),
        (b"", "the body is empty"),
        (gzip.compress(b"", mtime=0), "the body is empty"),
        (gzip.compress(b"{", mtime=0), "the body is not JSON"),
    ],
)
def test_what_is_said_to_be_packed_and_is_not_is_a_400(echo: Served, body: bytes, told: str) -> None:
    reply = echo.request("POST", "/model", body, ZIPPED)
    assert (reply.status_code, message(reply).startswith(told)) == (400, True)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "zstd"])
def test_another_packing_is_a_415_that_says_which_is_taken(echo: Served, coding: str) -> None:
    reply = post(echo, b"{}", Content_Encoding=coding)
    assert (reply.status_code, message(reply)) == (
        415,
        f'the body must be plain or gzip, not "Content-Encoding: {coding}"',
    )


@pytest.mark.parametrize("coding", ["identity", "", "Identity"])
def test_a_body_may_say_that_it_is_not_packed(echo: Served, coding: str) -> None:
    assert post(echo, b'{"data": {"x": 1}}', Content_Encoding=coding).status_code == 200


@given(st.binary(max_size=200), st.integers(0, 100))
def test_any_bytes_are_unpacked_to_no_more_than_asked_for_or_refused(body: bytes, most: int) -> None:
    with suppress(NotReadable):
        assert len(unpacked(body, "gzip", most=most)) <= most
    assert unpacked(gzip.compress(body), "gzip", most=most) == body[:most]


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "iso-8859-1", "x-unheard-of"])
def test_json_is_read_as_utf_8_whatever_charset_is_named(echo: Served, charset: str) -> None:
    """RFC 8259, 11: the media type has no such parameter."""
    body = '{"data": {"x": "é"}}'.encode()
    assert post(echo, body, Content_Type=f"application/json; charset={charset}").json()["result"] == "é"


def test_text_that_is_not_utf_8_is_told_of_with_its_place(echo: Served) -> None:
    reply = post(echo, '{"data": {"x": "é"}}'.encode("latin-1"), Content_Type="application/json; charset=iso-8859-1")
    assert (reply.status_code, message(reply)) == (400, "the body is no text in UTF-8 at byte 16; send JSON in UTF-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_every_encoding_of_unicode_is_read(echo: Served, encoding: str) -> None:
    assert post(echo, '{"data": {"x": "é"}}'.encode(encoding)).json()["result"] == "é"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_what_is_not_json_by_its_type_is_a_415(echo: Served, kind: str) -> None:
    reply = post(echo, b'{"data": {"x": 1}}', Content_Type=kind)
    assert (reply.status_code, 'send "Content-Type: application/json"' in message(reply)) == (415, True)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is empty"),
        (b" \r\n", "the body is empty"),
        (b"[1]", "must be a JSON object"),
        (b"{}", 'must have "data", an object'),
        (b'{"data": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", "nested too deeply"),
        (b'{"data": {"x": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}}", "nested too deeply"),
        (b'{"data": {"x": 1e400}}', "larger than the numbers that a computer calculates with"),
        (b'{"data": {"x": ' + b"9" * 5000 + b"}}", "the body holds a whole number of more than 4300 digits"),
        (b'{"data": {"x": NaN}}', "send null"),
        (b'{"data": {"x": 1}', "not JSON"),
        (b'{"data": {"x": 1}} {}', "not JSON"),
    ],
)
def test_a_body_that_is_no_call_is_a_400_that_says_why(echo: Served, body: bytes, told: str) -> None:
    reply = post(echo, body)
    assert (reply.status_code, told in message(reply)) == (400, True), message(reply)
    assert post(echo, b'{"data": {"x": 1}}').json()["result"] == 1


def test_of_a_key_that_comes_twice_the_last_counts(echo: Served) -> None:
    assert post(echo, b'{"data": {"x": 1, "x": 2}, "data": {"x": 3, "x": 4}}').json()["result"] == 4
