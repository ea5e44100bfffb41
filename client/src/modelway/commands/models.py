"""This file is the subcommands about model APIs that exist."""

from __future__ import annotations

import json
import shlex
from datetime import datetime

import click

from modelway import Client, LogKind, LogLine, Model, Settings, Status
from modelway.commands.arguments import Body, version_option, wait_options
from modelway.commands.output import EMPTY_CALL, Output, answering, call_to_try, curl_line, table
from modelway.commands.publish import show_tail
from modelway.commands.showing import canary_value, model_text, model_value, rollout_value, status_text, version_value
from modelway.commands.watching import Watch
from modelway.errors import Forbidden, NotFound, Rejected, VersionFailed
from modelway.records import Json


@click.command()
@click.argument("name")
@click.argument("body", type=Body())
@click.option("--label", type=click.Choice(["latest", "prod"]), default="latest", show_default=True)
@answering
def predict(output: Output, name: str, body: bytes, label: str) -> None:
    """Call the model API NAME and print the result.

    BODY is the whole request body as JSON text, such as '{"parameters": [1, 2]}', or @FILE, or - for stdin.
    """
    with Client.from_configuration() as client:
        prediction = client.predict(name, body, label=label)
    output.answer(prediction.answer, json.dumps(prediction.result, ensure_ascii=False))


@click.command("list")
@answering
def list_(output: Output) -> None:
    """List the model APIs you may see."""
    with Client.from_configuration() as client:
        found = [model_value(client, model) for model in client.models()]
    rows = [[each["name"], each["version"] or "-", each["status"], each["endpoint"]] for each in found]
    text = table(["NAME", "VERSION", "STATUS", "ENDPOINT"], rows) if rows else "There are no model APIs yet."
    output.answer(found, text)


@click.command()
@click.argument("name")
@answering
def show(output: Output, name: str) -> None:
    """Show the model API NAME, with a curl line that works as pasted."""
    with Client.from_configuration() as client:
        value = _shown(client, name)
    output.answer(value, model_text(value))


@click.command()
@click.argument("name")
@answering
def versions(output: Output, name: str) -> None:
    """List the versions of NAME, newest first."""
    with Client.from_configuration() as client:
        found = [version_value(version) for version in client.versions(name)]
    rows = [
        [each["version"], ", ".join(each["labels"]), status_text(each), each["created_at"] or "", each["reason"]]
        for each in found
    ]
    output.answer(found, table(["VERSION", "LABELS", "STATUS", "CREATED", "REASON"], rows))


@click.command()
@click.argument("name")
@version_option
@wait_options
@answering
def start(output: Output, name: str, number: int | None, timeout_s: float | None) -> None:
    """Start a version of NAME, by default the active one, and wait until it runs."""
    with Client.from_configuration() as client:
        try:
            version = client.start(name, number, timeout_s=timeout_s, on_progress=Watch().tell)
        except VersionFailed as error:
            show_tail(output, error)
            raise
    output.answer(version_value(version), f"Version {version.number} of {name}: {version.status}")


@click.command()
@click.argument("name")
@version_option
@wait_options
@answering
def stop(output: Output, name: str, number: int | None, timeout_s: float | None) -> None:
    """Stop a version of NAME, by default the active one, and wait until nothing of it runs."""
    with Client.from_configuration() as client:
        version = client.stop(name, number, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer(version_value(version), f"Version {version.number} of {name}: {version.status}")


@click.command()
@click.argument("name")
@version_option
@answering
def cancel(output: Output, name: str, number: int | None) -> None:
    """Cancel the build of a version of NAME, by default the newest version."""
    with Client.from_configuration() as client:
        version = client.cancel(name, number)
    output.answer(version_value(version), f"Version {version.number} of {name}: {version.status}, {version.reason}")


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in LogKind]),
    default=LogKind.INSTANCE.value,
    show_default=True,
)
@version_option
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


def _shown(client: Client, name: str) -> dict[str, Json]:
    model = client.model(name)
    versions = client.versions(model.id)
    active = next((each for each in versions if model.active and each.id == model.active.id), None)
    numbers = {each.id: each.number for each in versions}
    labels = ["latest", *(["prod"] if model.routing_mode == "advanced" else [])]
    endpoint = client.endpoint(model)
    body = call_to_try(client, model.id) if active and active.status == Status.RUNNING else EMPTY_CALL
    return {
        **model_value(client, model),
        "memory_bytes": model.memory_bytes,
        "is_restricted": model.is_restricted,
        "active_version": version_value(active) if active else None,
        "newest_version": version_value(versions[0]) if versions else None,
        "routes": [
            {
                "label": label,
                "version": numbers.get(model.labels.get(label, "")),
                "endpoint": client.endpoint(model, label),
            }
            for label in labels
        ],
        "canaries": [canary_value(each) for each in client.canaries(model.id)],
        "settings": _settings_value(_shown_settings(client, model)),
        "rollouts": [rollout_value(each) for each in client.rollouts(model.id)],
        "curl": _call_line(client, model, endpoint, body),
    }


def _shown_settings(client: Client, model: Model) -> Settings | None:
    """None for who may not see them."""
    try:
        return client.settings(model.id)
    except Forbidden:
        return None


def _call_line(client: Client, model: Model, endpoint: str, body: str) -> str:
    """A command that calls the model API: with a token for who may see one, as long as there is one to be seen."""
    try:
        return curl_line(endpoint, client.token(model), body)
    except (Forbidden, NotFound, Rejected):
        return shlex.join(["modelway", "invoke", model.name, body])


def _settings_value(settings: Settings | None) -> dict[str, Json] | None:
    return None if settings is None else {**settings.values, "effective": settings.effective}


def _line_value(line: LogLine) -> dict[str, Json]:
    return {"time": line.at.isoformat(), "stream": line.stream, "source": line.source, "text": line.text}


def _line_text(line: LogLine) -> str:
    at: datetime = line.at.astimezone()
    source = f"{line.source} " if line.source else ""
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d} {source}{line.text}"
