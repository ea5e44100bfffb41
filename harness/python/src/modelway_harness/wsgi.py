"""This file is how one request is put to a WSGI application, whole, and its answer taken, whole."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from email.utils import formatdate
from io import BytesIO
from typing import TYPE_CHECKING

from .wire import Head

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

IS_OVERDUE = "modelway.is_overdue"  # in the environment: the worker's call is past its deadline
_OURS = frozenset({"connection", "content-length", "date", "transfer-encoding"})


def asked(app: WSGIApplication, head: Head, body: bytes, *, is_kept: bool, is_overdue: bool = False) -> bytes:
    """What `app` answers, as it is sent. Raises whatever `app` raises."""
    began: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(status: str, headers: list[tuple[str, str]], _error: object = None) -> object:
        began.append((status, headers))
        return written.append

    answer: Iterable[bytes] = app({**_environment(head, body), IS_OVERDUE: is_overdue}, start)  # type: ignore[arg-type]  # `start` takes all it must
    try:
        written.extend(answer)
    finally:
        close = getattr(answer, "close", None)
        if close is not None:
            close()
    status, headers = began[-1]
    return _whole(status, headers, b"".join(written), is_kept=is_kept, is_head=head.method == "HEAD")


def _whole(status: str, headers: list[tuple[str, str]], body: bytes, *, is_kept: bool, is_head: bool) -> bytes:
    length = next((value for name, value in headers if is_head and name.lower() == "content-length"), str(len(body)))
    lines = [f"HTTP/1.1 {status}", f"Date: {formatdate(usegmt=True)}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in _OURS]
    lines += ["", ""] if is_kept else ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if is_head else body)


def _environment(head: Head, body: bytes) -> dict[str, object]:
    # An underscore could stand for a hyphen, and so for another header.
    named = {name.upper().replace("-", "_"): value for name, value in head.headers.items() if "_" not in name}
    length, kind = named.pop("CONTENT_LENGTH", str(len(body))), named.pop("CONTENT_TYPE", "")
    return {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": head.path,
        "QUERY_STRING": head.query,
        "CONTENT_TYPE": kind,
        "CONTENT_LENGTH": length,
        "SERVER_NAME": "modelway",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        **{f"HTTP_{name}": value for name, value in named.items()},
    }
