"""This file is the subcommands about the platform's history: list, export, as-of, call, verify."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from modelway import CallRecord, Client, Entry, Query
from modelway.commands.arguments import Instant
from modelway.commands.output import Output, answering, plural, table
from modelway.records import Json


@click.group()
def audit() -> None:
    """The history: who changed what and when, what was live at a moment, and who answered a call.

    Administrators see all of it; editors and owners of a model API what is about that, if they name it.

    A TIME is ISO 8601 such as 2026-01-31T12:00:00Z, or seconds or milliseconds since 1970.
    """


def _filters(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--until", type=Instant(), metavar="TIME", help="Only what happened before."),
        click.option("--since", type=Instant(), metavar="TIME", help="Only what happened then or later."),
        click.option("--action", metavar="TYPE", help="Only such events: version.published, or how one begins: token."),
        click.option("--actor", metavar="WHO", help="Only what this person or service did; a name or an id."),
    ):
        function = option(function)
    return function


@audit.command("list")
@click.argument("model", required=False)
@_filters
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many at most.")
@answering
def list_(output: Output, /, model: str | None, limit: int, **filters: Any) -> None:
    """List what happened, newest first: to all, or to MODEL."""
    with Client.from_configuration() as client:
        entries = list(client.audit.entries(_query(client, model, filters), limit=limit))
    rows = [[_time(each.at), each.actor, each.address, each.what, _about(each)] for each in entries]
    text = table(["TIME", "ACTOR", "FROM", "WHAT", "ABOUT"], rows) if rows else "Nothing of the kind has happened."
    output.answer([each.value for each in entries], text)


@audit.command("export")
@click.argument("file")
@click.option("--model", metavar="MODEL", help="Only of this model API.")
@_filters
@answering
def export(output: Output, /, file: str, model: str | None, **filters: Any) -> None:
    """Write what happened to FILE as JSON Lines, newest first; - for standard output.

    FILE is there only once it is whole.
    """
    with Client.from_configuration() as client:
        pieces = client.audit.export(_query(client, model, filters))
        if file == "-":
            for piece in pieces:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        lines = 0
        try:
            with _whole(Path(file)) as written:
                for piece in pieces:
                    written.write(piece)
                    lines += piece.count(b"\n")
        except OSError as error:
            raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None
    output.answer({"file": file, "events": lines}, f"{plural(lines, 'event')} in {file}.")


@audit.command("as-of")
@click.argument("time", type=Instant())
@click.argument("model", required=False)
@answering
def as_of(output: Output, time: datetime, model: str | None) -> None:
    """Show what was live at TIME: of all models, or of MODEL."""
    with Client.from_configuration() as client:
        found = client.audit.as_of(time, model_id=None if model is None else client.model(model).id)
    text = "\n\n".join(_moment_text(each) for each in found)
    output.answer(found, text or f"There was no model API at {_time(time)}.")


@audit.command("call")
@click.argument("request_id")
@click.argument("model")
@answering
def call(output: Output, request_id: str, model: str) -> None:
    """Show which version of MODEL answered the call with REQUEST_ID, the X-Request-Id of its answer.

    Records of calls are there a few seconds after a call, and kept for days: see docs/audit.md.
    """
    with Client.from_configuration() as client:
        found = client.audit.call(client.model(model).id, request_id)
    output.answer([each.value for each in found], "\n".join(_call_text(each) for each in found))


@audit.command("verify")
@answering
def verify(output: Output) -> None:
    """Read the whole history and prove every state by it; exits with 1 when something is wrong.

    docs/audit.md says what this proves, and what it cannot detect.
    """
    with Client.from_configuration() as client:
        result = client.audit.verify()
    read = f"{plural(result.events, 'event')} of {plural(result.aggregates, 'aggregate')}"
    findings = [
        f"{each.aggregate} {each.aggregate_id}, revision {each.revision}: {each.what}." for each in result.findings
    ]
    value = {
        "is_sound": not findings,
        "events": result.events,
        "aggregates": result.aggregates,
        "checkpoints": result.checkpoints,
        "ahead": result.ahead,
        "witnessed": result.witnessed,
        "unwitnessed_because": result.unwitnessed_because,
        "findings": [vars(each) for each in result.findings],
    }
    output.answer(value, f"{read} were read. {'All is sound.' if not findings else ''}".rstrip())
    if result.unwitnessed_because:
        output.note(
            f"Whether the end of the checkpoints was cut off could not be checked: {result.unwitnessed_because}."
        )
    for finding in findings:
        output.note(f"Error: {finding}", fg="red")
    if findings:
        sys.exit(1)


class _whole:  # noqa: N801  # used like `open`
    """A file to write to, which has its name only once all of it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        folder = self._path.parent
        self._file = tempfile.NamedTemporaryFile(dir=folder, prefix=f".{self._path.name}.", delete=False)
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._file.name, self._path)
        else:
            os.unlink(self._file.name)


def _query(client: Client, model: str | None, filters: dict[str, Any]) -> Query:
    return Query(model_id=None if model is None else client.model(model).id, **filters)


def _time(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _about(entry: Entry) -> str:
    changed = ", ".join(
        f"{name} {_short(before)} to {_short(entry.after.get(name))}"
        for name, before in ((name, (entry.before or {}).get(name)) for name in entry.after or {})
    )
    return f"{entry.aggregate} {entry.aggregate_id}{f': {changed}' if changed else ''}"


def _short(value: Json) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_short(each) for each in value)}]"
    if isinstance(value, dict):
        return str(value.get("key") or value.get("name") or value)
    return "none" if value is None else str(value)


def _call_text(record: CallRecord) -> str:
    who = "nobody" if record.version_number is None else f"version {record.version_number} ({record.version_id})"
    where = "" if record.instance_id is None else f", instance {record.instance_id}"
    return f"{_time(record.began_at)}  {record.label} led to {who}{where}: {record.status} after {record.seconds:.3f} s"


def _moment_text(moment: Json) -> str:
    lines = [f"{moment['name']} ({moment['modelId']}){', archived' if moment['isArchived'] else ''}"]
    for label, route in moment["routes"].items():
        canary = route["canary"]
        extra = "" if canary is None else f", {canary['share']:g} % to version {canary['versionNumber']}"
        led = "nobody" if route["versionId"] is None else f"version {route['versionNumber']}"
        lines.append(f"  {label} led to {led}{extra}")
    lines += [
        f"  version {each['versionNumber']} {each['deployment']}, artifact {each['artifact'][:12]}"
        for each in moment["versions"]
    ]
    settings = moment["settings"]
    lines.append(f"  {plural(settings['replicas'], 'instance')}, {settings['routingMode']} routing")
    lines.append(f"  tokens: {', '.join(token['name'] for token in moment['tokens']) or 'none'}")
    return "\n".join(lines)
