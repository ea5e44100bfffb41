"""This file is the subcommands about API keys. A new key's secret is printed once, to standard output or a file."""

from __future__ import annotations

import os
from datetime import datetime

import click

from modelway import Client
from modelway.commands.output import Output, answering, table
from modelway.commands.people import find_owner, of_whom
from modelway.people import Key
from modelway.records import Json


@click.group()
def keys() -> None:
    """API keys: what programs show to the platform instead of a password. KEY is a name or an id."""


@keys.command("list")
@of_whom
@answering
def list_(output: Output, owner: str | None) -> None:
    """List your API keys, and when they were used last."""
    with Client.from_configuration() as client:
        found = client.keys.all(find_owner(client, owner))
    rows = [[each.name, _day(each.created), _moment(each.last_used), each.id] for each in found]
    text = table(["NAME", "MADE", "LAST USED", "ID"], rows) if rows else "There are no API keys."
    output.answer([_value(each) for each in found], text)


@keys.command("create")
@click.argument("name")
@click.option("--file", type=click.Path(), help="Write the secret to a new file that only you can read.")
@answering
def create(output: Output, name: str, file: str | None) -> None:
    """Make an API key called NAME, and print its secret: it cannot be shown again."""
    written = None if file is None else _new_file(file)
    try:
        with Client.from_configuration() as client:
            key = client.keys.create(name)
    except BaseException:
        if file is not None and written is not None:
            os.close(written)
            os.unlink(file)
        raise
    if written is None:
        output.answer({**_value(key), "key": key.secret}, key.secret)
        output.note("Keep it: it is not shown again.")
        return
    with os.fdopen(written, "w", encoding="utf-8") as secret:
        secret.write(f"{key.secret}\n")
    output.answer({**_value(key), "file": file}, f"The secret of {key.name} is in {file}.")


@keys.command("revoke")
@click.argument("key")
@of_whom
@answering
def revoke(output: Output, key: str, owner: str | None) -> None:
    """Revoke KEY: it opens nothing any more."""
    with Client.from_configuration() as client:
        revoked = client.keys.revoke(key, find_owner(client, owner))
    output.answer(_value(revoked), f"{revoked.name} is revoked.")


def _new_file(file: str) -> int:
    """Made before the key is: a secret that cannot be written down is lost."""
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from None


def _day(at: datetime | None) -> str:
    return "" if at is None else at.strftime("%Y-%m-%d")


def _moment(at: datetime | None) -> str:
    return "never" if at is None else at.strftime("%Y-%m-%d %H:%MZ")


def _value(key: Key) -> dict[str, Json]:
    return {
        "id": key.id,
        "name": key.name,
        "created": None if key.created is None else key.created.isoformat(),
        "last_used": None if key.last_used is None else key.last_used.isoformat(),
    }
