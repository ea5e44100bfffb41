"""This file is `modelway publish`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelway import Client, Plan, Published
from modelway.commands.arguments import JsonBody, Size, Variable, timeout_option
from modelway.commands.output import EMPTY_CALL, Output, answering, call_to_try, curl_line
from modelway.commands.watching import Watch
from modelway.errors import UnfitDirectory, VersionFailed
from modelway.plan import completed
from modelway.records import Json, LogKind, Status

_DIRECTORY = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("directory", metavar="DIR", type=_DIRECTORY)
@click.option("--name", required=True, help="The model API; a new version is added to it if it exists.")
@click.option("--file", default="", help="The script, relative to DIR. None is needed if DIR is an MLflow model.")
@click.option("--function", default="", metavar="F", help="The function in the script; predict for an MLmodel.")
@click.option("--language", type=click.Choice(["python", "r"]), help="Of the script; by default as its name tells.")
@click.option("--requirements", type=_FILE, help="Packages it needs; by default those it has.")
@click.option("--instances", type=click.IntRange(1, 32), help="How many run side by side.")
@click.option("--memory", "memory_bytes", type=Size(), help="Memory of an instance, such as 2GiB.")
@click.option("--quota", help="The resource quota that says what an instance may use.")
@click.option("--workers", type=click.IntRange(1), help="Calls that an instance answers side by side.")
@click.option(
    "--recycle-after",
    "recycle_after_calls",
    type=click.IntRange(0),
    metavar="N",
    help="Calls after which a fresh worker takes over, about; 0: never.",
)
@click.option("--preload/--no-preload", default=None, help="Import the script once for all workers of an instance.")
@click.option("--request-timeout", "request_timeout_s", type=float, metavar="S", help="Seconds that a call may take.")
@click.option("--routing", "routing_mode", type=click.Choice(["basic", "advanced"]), help="Only latest, or also prod.")
@click.option("--env", "variables", type=Variable(), multiple=True, metavar="K=V", help="An environment variable.")
@click.option("--deploy/--no-deploy", "deploys", default=True, help="--no-deploy: only build it, to start it later.")
@click.option("--description", help="A few words about it.")
@click.option("--project", help="The project's name; by default the directory's.")
@click.option(
    "--example",
    type=JsonBody(),
    metavar="BODY",
    help="A call that it must answer before it takes traffic: JSON, FILE, @FILE or -.",
)
@timeout_option
@answering
def publish(
    output: Output,
    /,
    directory: Path,
    requirements: Path | None,
    example: bytes | None,
    variables: tuple[tuple[str, str], ...],
    timeout_s: float,
    **details: Json,
) -> None:
    """Publish a function of the project in DIR, and wait until it can be called.

    What happens is shown on stderr; the endpoint and a curl line are printed at the end.
    """
    plan = _completed(
        Plan(
            directory=directory,
            requirements=_text_of(requirements),
            example=None if example is None else json.loads(example),
            variables=dict(variables) or None,
            **details,
        )
    )
    watch = Watch()
    with Client.from_configuration() as client:
        try:
            published = client.publish(plan, timeout_s=timeout_s, on_progress=watch.tell)
        except VersionFailed as error:
            show_tail(output, error, has_told_build=watch.has_told_build)
            raise
        is_running = published.version.status == Status.RUNNING
        body = example.decode() if example else call_to_try(client, published.model.id) if is_running else EMPTY_CALL
    _answer(output, published, body)


def _completed(plan: Plan) -> Plan:
    try:
        return completed(plan)
    except UnfitDirectory as error:
        raise click.UsageError(f"{error.reason} See --file and --function.") from error


def show_tail(output: Output, error: VersionFailed, *, has_told_build: bool = False) -> None:
    """The end of the log that says more, unless it was just shown."""
    if not error.log_tail or (error.log_kind == LogKind.BUILD and has_told_build):
        return
    output.note(f"The end of the {error.log_kind} log:")
    for line in error.log_tail:
        output.note(f"  | {line}", dim=True)


def _answer(output: Output, published: Published, body: str) -> None:
    curl = curl_line(published.endpoint, published.token, body)
    value = {
        "id": published.model.id,
        "name": published.model.name,
        "version": published.version.number,
        "version_id": published.version.id,
        "status": published.version.status,
        "endpoint": published.endpoint,
        "curl": curl,
    }
    if published.version.status == Status.RUNNING:
        output.answer(value, f"{published.endpoint}\n{curl}")
    else:
        output.answer(
            value, f"Version {published.version.number} of {published.model.name}: {published.version.status}"
        )


def _text_of(requirements: Path | None) -> str | None:
    if requirements is None:
        return None
    try:
        return requirements.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{requirements} cannot be read as text.", param_hint="--requirements") from error
