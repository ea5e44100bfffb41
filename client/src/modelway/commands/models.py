"""This file is the subcommands about model APIs that exist."""

from __future__ import annotations

import json
from datetime import datetime

import click

from modelway import Client, LogKind, LogLine, Model, Version
from modelway.client import DEFAULT_TIMEOUT_S
from modelway.commands.arguments import Body
from modelway.commands.output import Output, answering, curl_line, size_text, table
from modelway.commands.publish import show_tail
from modelway.commands.watching import Watch
from modelway.errors import VersionFailed
from modelway.records import Json

_version_option = click.option("--version", "number", type=click.IntRange(1), metavar="K", help="Which version.")


@click.command()
@click.argument("name")
@click.argument("body", type=Body())
@answering
def predict(output: Output, name: str, body: bytes) -> None:
    """Call the model API NAME and print the result.

    BODY is the whole request body as JSON text, such as '{"parameters": [1, 2]}', or @FILE, or - for stdin.
    """
    with Client.from_configuration() as client:
        prediction = client.predict(name, body)
    output.answer(prediction.answer, json.dumps(prediction.result, ensure_ascii=False))


@click.command("list")
@answering
def list_(output: Output) -> None:
    """List the model APIs you may see."""
    with Client.from_configuration() as client:
        found = [_model_value(client, model) for model in client.models()]
    rows = [[each["name"], each["version"] or "-", each["status"], each["endpoint"]] for each in found]
    text = table(["NAME", "VERSION", "STATUS", "ENDPOINT"], rows) if rows else "There are no model APIs yet."
    output.answer(found, text)


@click.command()
@click.argument("name")
@answering
def show(output: Output, name: str) -> None:
    """Show the model API NAME, with a curl line that works as pasted."""
    with Client.from_configuration() as client:
        model = client.model(name)
        value = _model_value(client, model)
        versions = client.versions(model.id)
        active = next((each for each in versions if model.active and each.id == model.active.id), None)
        value["memory_bytes"] = model.memory_bytes
        value["is_restricted"] = model.is_restricted
        value["active_version"] = _version_value(active) if active else None
        value["newest_version"] = _version_value(versions[0]) if versions else None
        value["curl"] = curl_line(value["endpoint"], client.token(model))
    output.answer(value, _show_text(value))


@click.command()
@click.argument("name")
@answering
def versions(output: Output, name: str) -> None:
    """List the versions of NAME, newest first."""
    with Client.from_configuration() as client:
        found = [_version_value(version) for version in client.versions(name)]
    rows = [[each["version"], _status_text(each), each["created_at"] or "", each["reason"]] for each in found]
    output.answer(found, table(["VERSION", "STATUS", "CREATED", "REASON"], rows))


def _move_options(function: click.decorators.FC) -> click.decorators.FC:
    timeout = click.option(
        "--timeout",
        "timeout_s",
        type=click.FloatRange(min=0, min_open=True),
        default=DEFAULT_TIMEOUT_S,
        show_default=True,
        help="Seconds until waiting ends.",
    )
    wait = click.option("--wait/--no-wait", "waits", default=True, help="Wait until it is done.")
    return _version_option(timeout(wait(function)))


@click.command()
@click.argument("name")
@_move_options
@answering
def start(output: Output, name: str, number: int | None, timeout_s: float, waits: bool) -> None:
    """Start a version of NAME, by default the active one, and wait until it runs."""
    with Client.from_configuration() as client:
        try:
            version = client.start(name, number, timeout_s=timeout_s if waits else None, on_progress=Watch().tell)
        except VersionFailed as error:
            show_tail(output, error)
            raise
    output.answer(_version_value(version), f"Version {version.number} of {name}: {version.status}")


@click.command()
@click.argument("name")
@_move_options
@answering
def stop(output: Output, name: str, number: int | None, timeout_s: float, waits: bool) -> None:
    """Stop a version of NAME, by default the active one, and wait until nothing of it runs."""
    with Client.from_configuration() as client:
        version = client.stop(name, number, timeout_s=timeout_s if waits else None, on_progress=Watch().tell)
    output.answer(_version_value(version), f"Version {version.number} of {name}: {version.status}")


@click.command()
@click.argument("name")
@_version_option
@answering
def cancel(output: Output, name: str, number: int | None) -> None:
    """Cancel the build of a version of NAME, by default the newest version."""
    with Client.from_configuration() as client:
        version = client.cancel(name, number)
    output.answer(_version_value(version), f"Version {version.number} of {name}: {version.status}, {version.reason}")


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in LogKind]),
    default=LogKind.INSTANCE.value,
    show_default=True,
)
@_version_option
@click.option("--follow", is_flag=True, help="Go on with new lines until the version is at rest.")
@answering
def logs(output: Output, name: str, kind: str, number: int | None, follow: bool) -> None:
    """Print a log of a version of NAME, by default the newest version.

    With --json each line is an object of its own.
    """
    is_empty = True
    with Client.from_configuration() as client:
        read = client.follow_log if follow else client.log
        for line in read(name, LogKind(kind), number):
            is_empty = False
            output.line(_line_value(line), _line_text(line))
    if is_empty:
        others = " or ".join(f"--kind {other}" for other in LogKind if other != kind)
        output.note(f"The {kind} log has no lines; see {others}.")


def _model_value(client: Client, model: Model) -> dict[str, Json]:
    active = model.active
    return {
        "id": model.id,
        "name": model.name,
        "description": model.description,
        "version": active.number if active else None,
        "status": active.status if active else "",
        "is_pending": active.is_pending if active else False,
        "instances": model.replicas,
        "endpoint": client.endpoint(model),
    }


def _version_value(version: Version) -> dict[str, Json]:
    return {
        "id": version.id,
        "version": version.number,
        "status": version.status,
        "is_pending": version.is_pending,
        "reason": version.reason,
        "instances_wanted": version.instances_wanted,
        "instances_ready": version.instances_ready,
        "instances_lost": version.instances_lost,
        "last_exit": version.last_exit,
        "file": version.file,
        "function": version.function,
        "description": version.description,
        "created_at": version.created_at.isoformat(timespec="seconds") if version.created_at else None,
    }


def _show_text(value: dict[str, Json]) -> str:
    active, newest = value["active_version"], value["newest_version"]
    rows = [["name", value["name"]], ["id", value["id"]], ["description", value["description"]]]
    if active:
        rows.append(["version", f"{active['version']} ({active['file']}, {active['function']})"])
        rows.append(["status", _status_text(active)])
        rows.append(["reason", active["reason"]])
        if active["instances_lost"]:
            rows.append(["lost", f"{active['instances_lost']} instances, the last: {active['last_exit']}"])
    if newest and newest != active:
        rows.append(["newest version", f"{newest['version']}: {_status_text(newest)} {newest['reason']}"])
    if value["memory_bytes"]:
        rows.append(["memory", size_text(value["memory_bytes"])])
    rows.append(["endpoint", value["endpoint"]])
    lines = [f"{label + ':':16}{text}" for label, text in rows if text]
    return "\n".join([*lines, "", value["curl"]])


def _status_text(version: dict[str, Json]) -> str:
    text = f"{version['status']}{' …' if version['is_pending'] else ''}"
    wanted = version["instances_wanted"]
    return f"{text}, {version['instances_ready']} of {wanted} ready" if wanted else text


def _line_value(line: LogLine) -> dict[str, Json]:
    return {"time": line.at.isoformat(), "stream": line.stream, "source": line.source, "text": line.text}


def _line_text(line: LogLine) -> str:
    at: datetime = line.at.astimezone()
    source = f"{line.source} " if line.source else ""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} {source}{line.text}"
