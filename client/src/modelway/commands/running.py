"""This file is the subcommands about a model API's instances: settings, scale, restart, archive, restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from modelway import Client, Moved, Settings, Version
from modelway.commands.arguments import Variable, version_option, wait_options
from modelway.commands.output import Output, answering, plural
from modelway.commands.publish import show_tail
from modelway.commands.setting import WORDS, Setting, Volume, as_changes, settings_table
from modelway.commands.showing import rollout_text, rollout_value, version_value
from modelway.commands.watching import Watch
from modelway.errors import VersionFailed
from modelway.records import Json
from modelway.settings import with_variables


@click.command(epilog=f"Settings: {', '.join(WORDS)}.")
@click.argument("name")
@click.option("--set", "changed", type=Setting(), multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--env", "variables", type=Variable(), multiple=True, metavar="K=V", help="Set a variable; K: from here.")
@click.option("--unset-env", "unset", multiple=True, metavar="K", help="Take a variable away.")
@click.option("--volume", "volumes", type=Volume(), multiple=True, metavar="N=HOST:MOUNT[:rw]", help="Add a volume.")
@click.option("--unset-volume", "unmounted", multiple=True, metavar="N", help="Take a volume away.")
@wait_options
@answering
def settings(output: Output, /, name: str, timeout_s: float | None, **asked: Any) -> None:
    """Show the settings of NAME, or change some and wait until they are in effect.

    Some of them are fixed for an instance when it starts: changing them replaces the running instances, one at a time.
    """
    with Client.from_configuration() as client:
        now = client.settings(name)
        changes = _changes(client, now, **asked)
        if not changes:
            quota = now.values.get("resourceQuotaId")
            output.answer(_settings_value(now), settings_table(now, client.quotas.find(quota).name if quota else "-"))
            return
        with telling(output):
            after, moved = client.change_settings(
                name,
                changes,
                timeout_s=timeout_s,
                on_progress=Watch().tell,
                on_change=lambda after: _tell_restarts(output, client.versions(name), after),
            )
    value = {**_settings_value(after), **moved_value(moved)}
    output.answer(value, moved_text(moved, f"The settings of {name} are changed"))


@click.command()
@click.argument("name")
@click.argument("instances", type=click.IntRange(1), required=False)
@click.option("--fixed", type=click.IntRange(1), metavar="N", help="The same as N.")
@click.option("--min", "low", type=click.IntRange(1), metavar="A", help="At least A instances,")
@click.option("--max", "high", type=click.IntRange(1), metavar="B", help="and at most B,")
@click.option("--target", type=click.FloatRange(min=0, min_open=True), metavar="T", help="so that each has T calls.")
@wait_options
@answering
def scale(
    output: Output,
    name: str,
    instances: int | None,
    fixed: int | None,
    low: int | None,
    high: int | None,
    target: float | None,
    timeout_s: float | None,
) -> None:
    """Run N instances of each running version of NAME, or as many as its callers need."""
    named = [each is not None for each in (low, high, target)]
    count = instances or fixed
    if (instances and fixed) or (any(named) if count else not all(named)):
        raise click.UsageError("Give a number of instances, or all of --min, --max and --target.")
    with Client.from_configuration() as client, telling(output):
        tell = Watch().tell
        if count is not None:
            moved = client.scale(name, count, timeout_s=timeout_s, on_progress=tell)
            done = f"{name} has {plural(count, 'instance')}"
        else:
            assert low is not None and high is not None and target is not None  # noqa: PT018, S101
            moved = client.scale_between(name, low, high, target, timeout_s=timeout_s, on_progress=tell)
            done = f"{name} has {low} to {high} instances from now on, for {target:g} calls each"
    output.answer(moved_value(moved), moved_text(moved, done))


@click.command()
@click.argument("name")
@version_option
@wait_options
@answering
def restart(output: Output, name: str, number: int | None, timeout_s: float | None) -> None:
    """Replace the instances of a version of NAME, one at a time, by default of the active version."""
    with Client.from_configuration() as client, telling(output):
        moved = client.restart(name, number, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer(moved_value(moved), moved_text(moved, f"Version {moved.versions[0].number} has new instances"))


@click.command()
@click.argument("name")
@wait_options
@answering
def archive(output: Output, name: str, timeout_s: float | None) -> None:
    """Stop all of NAME, and take it out of every list; `modelway restore` brings it back."""
    with Client.from_configuration() as client, telling(output):
        moved = client.archive(name, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer({"id": moved.model.id, **moved_value(moved)}, f"{name} is archived; its id is {moved.model.id}.")


@click.command()
@click.argument("name")
@answering
def restore(output: Output, name: str) -> None:
    """Bring the archived model API NAME back. Its versions rest until `modelway start`."""
    with Client.from_configuration() as client:
        model = client.restore(name)
    output.answer({"id": model.id, "name": model.name}, f"{model.name} is there again: `modelway start {model.name}`.")


@contextmanager
def telling(output: Output) -> Iterator[None]:
    """A version that does not come up is shown with the end of its log."""
    try:
        yield
    except VersionFailed as error:
        show_tail(output, error)
        raise


def moved_value(moved: Moved) -> dict[str, Json]:
    return {
        "is_done": moved.is_done,
        "labels": moved.model.labels,
        "versions": [version_value(each) for each in moved.versions],
        "rollouts": [rollout_value(each) for each in moved.rollouts],
    }


def moved_text(moved: Moved, done: str) -> str:
    """What happened, and what it cost."""
    if not moved.is_done:
        return "Ordered; not waited for."
    return "\n".join([f"{done}.", *map(rollout_text, moved.rollouts)])


def _changes(
    client: Client,
    now: Settings,
    *,
    changed: tuple[tuple[str, Json], ...],
    variables: tuple[tuple[str, str], ...],
    unset: tuple[str, ...],
    volumes: tuple[dict[str, Json], ...],
    unmounted: tuple[str, ...],
) -> dict[str, Json]:
    changes = as_changes(changed, now)
    if changes.get("resourceQuotaId"):
        changes["resourceQuotaId"] = client.quotas.find(changes["resourceQuotaId"]).id
    if variables or unset:
        changes |= with_variables(now, dict(variables), unset)
    if volumes or unmounted:
        gone = {*unmounted, *(each["name"] for each in volumes)}
        kept = [each for each in now.values.get("volumes") or () if each["name"] not in gone]
        changes["volumes"] = [*kept, *volumes]
    return changes


def _tell_restarts(output: Output, versions: list[Version], after: Settings) -> None:
    restarted = [str(each.number) for each in versions if each.id in after.restarted]
    if restarted:
        named = (
            f"Version {restarted[0]} restarts" if len(restarted) == 1 else f"Versions {', '.join(restarted)} restart"
        )
        output.note(f"{named}, one instance at a time")


def _settings_value(settings: Settings) -> dict[str, Json]:
    return {
        "settings": settings.values,
        "effective": settings.effective,
        "restarting": list(settings.restarting),
        "restarted": list(settings.restarted),
    }
