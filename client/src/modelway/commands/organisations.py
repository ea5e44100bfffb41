"""This file is the subcommands about organisations: people to whom something is shared as one."""

from __future__ import annotations

import click

from modelway import Client
from modelway.commands.output import Output, answering, plural, table
from modelway.people import Organisation
from modelway.records import Json


@click.group()
def organisations() -> None:
    """Organisations: share a model or a project with one, and all of its members have the role.

    ORGANISATION is a name or an id; PERSON is a user name, an e-mail address or an id.
    """


@organisations.command("list")
@click.argument("name", required=False)
@answering
def list_(output: Output, name: str | None) -> None:
    """List the organisations, or those with NAME in their names."""
    with Client.from_configuration() as client:
        found = client.organisations.all(name=name)
    rows = [[each.name, each.member_count, "member" if each.is_member else "", each.id] for each in found]
    text = table(["NAME", "MEMBERS", "YOU", "ID"], rows) if rows else "There are no organisations of the kind."
    output.answer([_value(each) for each in found], text)


@organisations.command("show")
@click.argument("organisation")
@answering
def show(output: Output, organisation: str) -> None:
    """Show who belongs to ORGANISATION."""
    with Client.from_configuration() as client:
        found = client.organisations.find(organisation)
    rows = [[each.user_name, "owner" if each.is_owner else "", each.id] for each in found.members]
    output.answer(_value(found), f"{found.name} ({found.id})\n\n{table(['USER NAME', '', 'ID'], rows)}")


@organisations.command("create")
@click.argument("name")
@answering
def create(output: Output, name: str) -> None:
    """Make the organisation NAME, with you as its owner."""
    with Client.from_configuration() as client:
        made = client.organisations.create(name)
    output.answer(_value(made), f"{made.name} is there: `modelway organisations add {made.name} PERSON`.")


@organisations.command("add")
@click.argument("organisation")
@click.argument("person")
@click.option("--owner/--member", "is_owner", default=False, help="An owner says who the members are.")
@answering
def add(output: Output, organisation: str, person: str, is_owner: bool) -> None:
    """Make PERSON a member of ORGANISATION, or an owner, or a mere member again."""
    with Client.from_configuration() as client:
        found = client.people.find(person)
        after = client.organisations.add(organisation, found, is_owner=is_owner)
    output.answer(_value(after), _text(f"{found.user_name} is {'an owner' if is_owner else 'a member'}", after))


@organisations.command("remove")
@click.argument("organisation")
@click.argument("person")
@answering
def remove(output: Output, organisation: str, person: str) -> None:
    """Take PERSON out of ORGANISATION."""
    with Client.from_configuration() as client:
        found = client.people.find(person)
        after = client.organisations.remove(organisation, found)
    output.answer(_value(after), _text(f"{found.user_name} is no member", after))


def _text(done: str, after: Organisation) -> str:
    return f"{done} of {after.name}, which has {plural(after.member_count, 'member')}."


def _value(organisation: Organisation) -> dict[str, Json]:
    return {
        "id": organisation.id,
        "name": organisation.name,
        "member_count": organisation.member_count,
        "is_member": organisation.is_member,
        "members": [
            {"id": each.id, "user_name": each.user_name, "is_owner": each.is_owner} for each in organisation.members
        ],
    }
