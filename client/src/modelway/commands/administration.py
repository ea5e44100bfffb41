"""This file is the subcommands about the whole platform's rules: resource quotas and central configuration."""

from __future__ import annotations

import click

from modelway import CentralKey, Client, Quota
from modelway.commands.arguments import Size
from modelway.commands.output import Output, answering, size_text, table
from modelway.records import Json


@click.group()
def quotas() -> None:
    """Resource quotas: named sizes of an instance that models choose from. They are hidden, never deleted."""


@quotas.command("list")
@answering
def list_quotas(output: Output) -> None:
    """List the resource quotas."""
    with Client.from_configuration() as client:
        found = client.quotas.all()
    rows = [
        [
            each.name,
            f"{each.cpu_requested:g} to {each.cpu_limit:g}",
            f"{size_text(each.memory_requested_bytes)} to {size_text(each.memory_limit_bytes)}",
            "default" if each.is_default else "" if each.is_visible else "hidden",
        ]
        for each in found
    ]
    text = table(["NAME", "CORES", "MEMORY", ""], rows) if rows else "There are no resource quotas yet."
    output.answer([_quota_value(each) for each in found], text)


@quotas.command("add")
@click.argument("name")
@click.option("--cpu", "cpu_limit", type=float, required=True, metavar="C", help="Cores at most; 0: no limit.")
@click.option("--memory", "memory_limit_bytes", type=Size(), required=True, help="Memory at most, such as 2GiB.")
@click.option("--cpu-requested", type=float, default=0.0, metavar="C", help="Cores that are kept for an instance.")
@click.option("--memory-requested", "memory_requested_bytes", type=Size(), default=0, help="Memory that is kept.")
@answering
def add_quota(output: Output, /, name: str, **sizes: Json) -> None:
    """Add the resource quota NAME."""
    with Client.from_configuration() as client:
        quota = client.quotas.add(name, **sizes)
    output.answer(_quota_value(quota), f"{quota.name} is there: `modelway settings MODEL --set quota={quota.name}`.")


def _changing(word: str, about: str, done: str, **change: bool) -> click.Command:
    @click.argument("name")
    @answering
    def command(output: Output, name: str) -> None:
        with Client.from_configuration() as client:
            quota = client.quotas.change(name, **change)
        output.answer(_quota_value(quota), f"{quota.name} {done}.")

    return click.command(word, help=about)(command)


for _command in (
    _changing("hide", "Let no other model choose NAME.", "is hidden; models that have it keep it", is_visible=False),
    _changing("show", "Let models choose NAME again.", "can be chosen", is_visible=True),
    _changing("default", "Let new models have NAME.", "is the default of new models", is_default=True),
):
    quotas.add_command(_command)


@click.group()
def central() -> None:
    """Central configuration: what holds for models that do not say it themselves. For administrators.

    KEY may be shortened from the left: workerCount for com.cerebro.domino.modelmanager.uWsgi.workerCount.
    """


@central.command("get")
@click.argument("key", required=False)
@answering
def get(output: Output, key: str | None) -> None:
    """Show all keys, or one."""
    with Client.from_configuration() as client:
        found = client.central.all() if key is None else [client.central.get(key)]
    rows = [[each.key, _amount(each), "" if each.is_set else "default", each.description] for each in found]
    values = [_key_value(each) for each in found]
    output.answer(values if key is None else values[0], table(["KEY", "VALUE", "", "WHAT IT SAYS"], rows))


@central.command("set")
@click.argument("key")
@click.argument("value", type=float)
@answering
def set_(output: Output, key: str, value: float) -> None:
    """Set KEY to VALUE. Running versions pick it up with their next restart; see `modelway central pending`."""
    with Client.from_configuration() as client:
        after = client.central.set(key, int(value) if value.is_integer() else value)
    output.answer(_key_value(after), f"{after.key} is {_amount(after)}; `modelway central pending` shows who lags.")


@central.command("unset")
@click.argument("key")
@answering
def unset(output: Output, key: str) -> None:
    """Give KEY its default again."""
    with Client.from_configuration() as client:
        after = client.central.unset(key)
    output.answer(_key_value(after), f"{after.key} is {_amount(after)} again, its default.")


@central.command("pending")
@answering
def pending(output: Output) -> None:
    """List the models of which running versions have yet to pick up a change."""
    with Client.from_configuration() as client:
        found = client.central.pending()
    rows = [[each.name, len(each.version_ids), ", ".join(each.keys)] for each in found]
    text = table(["MODEL", "VERSIONS", "KEYS"], rows) if rows else "Every running version has picked up every change."
    value = [
        {"id": each.model_id, "name": each.name, "versions": list(each.version_ids), "keys": list(each.keys)}
        for each in found
    ]
    output.answer(value, text)


def _amount(key: CentralKey) -> str:
    return f"{key.value:g} {key.unit}".rstrip()


def _key_value(key: CentralKey) -> dict[str, Json]:
    return {
        "key": key.key,
        "value": key.value,
        "default": key.default,
        "is_set": key.is_set,
        "unit": key.unit,
        "description": key.description,
    }


def _quota_value(quota: Quota) -> dict[str, Json]:
    return {
        "id": quota.id,
        "name": quota.name,
        "cpu_requested": quota.cpu_requested,
        "cpu_limit": quota.cpu_limit,
        "memory_requested_bytes": quota.memory_requested_bytes,
        "memory_limit_bytes": quota.memory_limit_bytes,
        "is_visible": quota.is_visible,
        "is_default": quota.is_default,
    }
