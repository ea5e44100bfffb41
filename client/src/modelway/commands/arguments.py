"""This file is how words on the command line become values: sizes, request bodies, variables; and options of many."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from modelway.patience import DEFAULT_TIMEOUT_S

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
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?", re.ASCII)
_MILLISECONDS_FROM = 1e11  # as seconds, the year 5138
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
    """A request body that must be JSON, on one line; also the name of a file that holds it."""

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        is_file = isinstance(value, str) and value[:1] not in {"", "@", "-", "{", "["} and os.path.isfile(value)
        body = super().convert(f"@{value}" if is_file else value, param, ctx)
        try:
            return json.dumps(json.loads(body)).encode()
        except ValueError as error:
            self.fail(f"not JSON: {error}.", param, ctx)


class Variable(click.ParamType[tuple[str, str]]):
    """An environment variable: NAME=VALUE, or NAME alone for the value that this command's own environment has."""

    name = "variable"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, is_given, text = str(value).partition("=")
        if not name:
            self.fail(f"{value!r} has no name: write it like NAME=VALUE.", param, ctx)
        if is_given:
            return name, text
        if name not in os.environ:
            self.fail(f"{name} is not in the environment here: write it like {name}=VALUE.", param, ctx)
        return name, os.environ[name]


class Instant(click.ParamType[datetime]):
    """A moment: ISO 8601, in local time where it names no zone; or seconds or milliseconds since 1970."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        text = str(value).strip()
        try:
            if _NUMBER.fullmatch(text):
                number = float(text)
                return datetime.fromtimestamp(number if number < _MILLISECONDS_FROM else number / 1000, tz=UTC)
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{text!r} is not a time: write it like 2026-01-31T12:00:00Z or 1769860800.", param, ctx)


version_option = click.option("--version", "number", type=click.IntRange(1), metavar="K", help="Which version.")
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=DEFAULT_TIMEOUT_S,
    show_default=True,
    help="Seconds until waiting ends.",
)


def wait_options(function: Callable[..., None]) -> Callable[..., None]:
    """--timeout and --no-wait. The command gets `timeout_s`: None when it is not to wait."""

    @timeout_option
    @click.option("--wait/--no-wait", "waits", default=True, help="Wait until it is done.")
    @functools.wraps(function)
    def run(*args: Any, timeout_s: float, waits: bool, **kwargs: Any) -> None:
        function(*args, timeout_s=timeout_s if waits else None, **kwargs)

    return run
