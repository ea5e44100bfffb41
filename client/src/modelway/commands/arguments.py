"""This file is how words on the command line become values: sizes and request bodies."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

_UNITS = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


class Size(click.ParamType[int]):
    """A size in bytes, such as 2GiB, 512MiB or 1073741824."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _SIZE.fullmatch(str(value).strip())
        if found is None or found[2] not in _UNITS:
            self.fail(f"{value!r} is not a size: write it like 2GiB, 512MiB or 500MB.", param, ctx)
        return int(float(found[1]) * _UNITS[found[2]])


class Body(click.ParamType[bytes]):
    """A request body: its text, @FILE for a file's content, or - for standard input. Sent as it is."""

    name = "body"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        text = str(value)
        if text == "-":
            return sys.stdin.buffer.read()
        if not text.startswith("@"):
            return text.encode("utf-8", "surrogateescape")
        try:
            return Path(text[1:]).expanduser().read_bytes()
        except OSError as error:
            self.fail(f"{text[1:]} cannot be read: {error.strerror}.", param, ctx)


class JsonBody(Body):
    """A request body that must be JSON, on one line."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        body = super().convert(value, param, ctx)
        try:
            return json.dumps(json.loads(body)).encode()
        except ValueError as error:
            self.fail(f"not JSON: {error}.", param, ctx)
