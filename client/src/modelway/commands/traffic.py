"""This file is the subcommands about who answers a model API's calls: promote, demote, rollback, canary."""

from __future__ import annotations

import click

from modelway import Client, Moved
from modelway.commands.arguments import version_option, wait_options
from modelway.commands.output import Output, answering
from modelway.commands.running import moved_text, moved_value, telling
from modelway.commands.showing import canaries_table, canary_value
from modelway.commands.watching import Watch

_label_option = click.option("--label", type=click.Choice(["latest", "prod"]), help="Whose calls.")


@click.command()
@click.argument("name")
@version_option
@wait_options
@answering
def promote(output: Output, name: str, number: int | None, timeout_s: float | None) -> None:
    """Let prod of NAME lead to a version, by default to the active one; it is started if it does not run."""
    with Client.from_configuration() as client, telling(output):
        moved = client.promote(name, number, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer(moved_value(moved), moved_text(moved, f"prod of {name} leads to version {moved.versions[0].number}"))


@click.command()
@click.argument("name")
@wait_options
@answering
def demote(output: Output, name: str, timeout_s: float | None) -> None:
    """Let prod of NAME lead nowhere: its calls are answered 503."""
    with Client.from_configuration() as client:
        moved = client.demote(name, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer(moved_value(moved), moved_text(moved, f"prod of {name} leads nowhere"))


@click.command()
@click.argument("name")
@_label_option
@wait_options
@answering
def rollback(output: Output, name: str, label: str | None, timeout_s: float | None) -> None:
    """Let a label of NAME lead to the version it led to before: prod where that leads anywhere, else latest."""
    with Client.from_configuration() as client, telling(output):
        moved = client.roll_back(name, label, timeout_s=timeout_s, on_progress=Watch().tell)
    output.answer(moved_value(moved), moved_text(moved, _went_to(name, moved, "is back at")))


@click.command()
@click.argument("name")
@version_option
@click.option("--share", type=click.FloatRange(0, 100), metavar="P", help="Percent of the calls that it answers.")
@_label_option
@click.option("--complete", "completes", is_flag=True, help="All calls go to the canary from now on.")
@click.option("--withdraw", "withdraws", is_flag=True, help="No call goes to the canary from now on.")
@wait_options
@answering
def canary(
    output: Output,
    name: str,
    number: int | None,
    share: float | None,
    label: str | None,
    completes: bool,
    withdraws: bool,
    timeout_s: float | None,
) -> None:
    """Let a version of NAME answer a share of a label's calls; without options, show both sides.

    A version is started first if it does not run. --share alone widens or narrows the canary that there is.
    """
    if (share is not None) + completes + withdraws > 1 or (number is not None and share is None):
        raise click.UsageError("Give --share, with or without --version, or --complete, or --withdraw.")
    with Client.from_configuration() as client, telling(output):
        tell = Watch().tell
        if share is not None:
            moved = client.canary(name, share, number, label=label, timeout_s=timeout_s, on_progress=tell)
            number = moved.versions[0].number if moved.versions else number
            done = f"Version {number} answers {share:g} % of the calls of {moved.label}"
        elif completes:
            moved = client.complete_canary(name, label, timeout_s=timeout_s, on_progress=tell)
            done = _went_to(name, moved, "leads to")
        elif withdraws:
            moved = client.withdraw_canary(name, label)
            done = f"{moved.label} of {name} has no canary any more"
        else:
            found = [canary_value(each) for each in client.canaries(name) if label in {None, each.label}]
            output.answer(found, canaries_table(found))
            return
    output.answer(moved_value(moved), moved_text(moved, done))


def _went_to(name: str, moved: Moved, verb: str) -> str:
    number = moved.versions[0].number if moved.versions else "?"
    return f"{moved.label} of {name} {verb} version {number}"
