"""This file is how a command answers: results on stdout, as text or as JSON; all else on stderr."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Concatenate, NoReturn, ParamSpec

import click

from modelway import Client
from modelway.errors import ModelwayError, PredictionFailed, VersionFailed
from modelway.records import Json

P = ParamSpec("P")

EMPTY_CALL = '{"parameters": []}'
_DESCRIBED_S = 5.0  # for a running version to tell of itself, which may be busy


@dataclass(frozen=True)
class Output:
    as_json: bool

    def answer(self, value: Json, text: str) -> None:
        """The result: `value` with --json, else `text`."""
        click.echo(json.dumps(value, indent=2, ensure_ascii=False) if self.as_json else text)

    def line(self, value: Json, text: str) -> None:
        """One of many results: a line of JSON each, or of text."""
        click.echo(json.dumps(value, ensure_ascii=False) if self.as_json else text)

    def note(self, text: str, **style: str | bool) -> None:
        click.secho(text, err=True, **style)  # type: ignore[arg-type]

    def fail(self, error: ModelwayError) -> NoReturn:
        """One sentence on stderr, with --json also an object on stdout; ends the command with 1."""
        value: dict[str, Json] = {"error": error.reason}
        if isinstance(error, VersionFailed):
            value |= {"log_kind": error.log_kind, "log_tail": list(error.log_tail)}
        if isinstance(error, PredictionFailed):
            value = error.answer if isinstance(error.answer, dict) else {"errors": list(error.errors)}
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        self.note(f"Error: {error.reason}", fg="red")
        sys.exit(1)


def answering(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
    """A command with --json, whose errors of the SDK become one sentence and exit status 1."""

    @click.option("--json", "as_json", is_flag=True, help="Answer with JSON on stdout.")
    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        output = Output(bool(kwargs.pop("as_json")))
        try:
            function(output, *args, **kwargs)
        except ModelwayError as error:
            output.fail(error)

    return run


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Text in columns, as wide as their widest cell.

    >>> print(table(["NAME", "VERSION"], [["iris", 12]]))
    NAME  VERSION
    iris  12
    """
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def curl_line(endpoint: str, token: str | None, body: str = EMPTY_CALL) -> str:
    """A command that calls the endpoint, on one line, to be pasted into a shell.

    >>> print(curl_line("http://127.0.0.1/models/1/latest/model", "s3", "[1]"))
    curl -sS -u s3:s3 -H 'Content-Type: application/json' -d '[1]' http://127.0.0.1/models/1/latest/model
    """
    user = [] if token is None else ["-u", f"{token}:{token}"]
    return shlex.join(["curl", "-sS", *user, "-H", "Content-Type: application/json", "-d", body, endpoint])


def call_to_try(client: Client, model_id: str) -> str:
    """A body that the model API takes: its example, or one made of its types. One that fits few, when it tells none."""
    try:
        example = client.describe(model_id, timeout_s=_DESCRIBED_S).example
    except ModelwayError:
        return EMPTY_CALL
    return json.dumps(example, ensure_ascii=False)


def plural(count: float, what: str) -> str:
    """So many of them.

    >>> plural(1, "call"), plural(0.5, "core"), plural(3, "call")
    ('1 call', '0.5 cores', '3 calls')
    """
    return f"{count:g} {what}{'' if count == 1 else 's'}"


def size_text(size_bytes: int) -> str:
    """A size for people.

    >>> size_text(512), size_text(2 * 1024**3), size_text(1536)
    ('512 B', '2 GiB', '1.5 KiB')
    """
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.1f}".removesuffix(".0") + f" {unit}"
        size /= 1024
    return f"{size:.1f}".removesuffix(".0") + " TiB"
