"""This file is the subcommands about who may reach a model API, and calling one without a token."""

from __future__ import annotations

import json

import click

from modelway import Client, Collaborator, Shared
from modelway.commands.arguments import Body
from modelway.commands.output import Output, answering, table
from modelway.records import Json
from modelway.sharing import ROLES


@click.command()
@click.argument("name")
@click.option("--with", "who", required=True, metavar="NAME", help="A user name, e-mail address or organisation.")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do from here on.")
@answering
def share(output: Output, name: str, who: str, role: str) -> None:
    """Give somebody a role in the model API NAME.

    A Viewer sees it and may call it, an Editor may also change and run it, an Owner may also share it.
    """
    with Client.from_configuration() as client:
        shared = client.sharing.share(name, who, role)
    output.answer(shared_value(shared), f"{who} is {_article(role)} {role} of {shared.name}.")


@click.command()
@click.argument("name")
@click.argument("who")
@answering
def unshare(output: Output, name: str, who: str) -> None:
    """Take the role away that WHO has in the model API NAME."""
    with Client.from_configuration() as client:
        shared = client.sharing.unshare(name, who)
    output.answer(shared_value(shared), f"{who} has no role in {shared.name} any more.")


@click.command()
@click.argument("name")
@answering
def leave(output: Output, name: str) -> None:
    """Give up your own role in the model API NAME."""
    with Client.from_configuration() as client:
        client.sharing.leave(name)
    output.answer({"name": name}, f"You have no role of your own in {name} any more.")


@click.command()
@click.argument("name")
@click.argument("visibility", type=click.Choice(["public", "private"]))
@answering
def visibility(output: Output, name: str, visibility: str) -> None:
    """Let everyone with an account find the model API NAME, or collaborators only."""
    with Client.from_configuration() as client:
        shared = client.sharing.set_visibility(name, is_public=visibility == "public")
    output.answer(shared_value(shared), f"{shared.name} is {'public' if shared.is_public else 'private'}.")


@click.command()
@click.argument("name")
@click.argument("restricted", type=click.Choice(["on", "off"]))
@answering
def restrict(output: Output, name: str, restricted: str) -> None:
    """Let calls of the model API NAME need an access token, or none."""
    with Client.from_configuration() as client:
        shared = client.sharing.set_restriction(name, is_restricted=restricted == "on")
    needs = "need an access token" if shared.is_restricted else "need no access token"
    output.answer(shared_value(shared), f"Calls of {shared.name} {needs}.")


@click.command()
@click.argument("name")
@click.argument("owner")
@answering
def transfer(output: Output, name: str, owner: str) -> None:
    """Make OWNER the owner of the model API NAME. The owner so far stays as an Editor."""
    with Client.from_configuration() as client:
        shared = client.sharing.transfer(name, owner)
    output.answer(shared_value(shared), f"{owner} owns {shared.name}.")


@click.command()
@click.argument("name")
@answering
def collaborators(output: Output, name: str) -> None:
    """List who has a role in the model API NAME, its owner first."""
    with Client.from_configuration() as client:
        found = client.sharing.collaborators(name)
    output.answer([collaborator_value(each) for each in found], collaborators_table(found))


@click.command()
@click.argument("name")
@click.argument("body", type=Body())
@click.option("--label", type=click.Choice(["latest", "prod"]), default="latest", show_default=True)
@answering
def invoke(output: Output, name: str, body: bytes, label: str) -> None:
    """Call the model API NAME as its collaborator, without an access token, and print the result.

    BODY is the whole request body as JSON text, such as '{"parameters": [1, 2]}', or @FILE, or - for stdin.
    """
    with Client.from_configuration() as client:
        prediction = client.invoke(name, body, label=label)
    output.answer(prediction.answer, json.dumps(prediction.result, ensure_ascii=False))


def shared_value(shared: Shared) -> dict[str, Json]:
    return {
        "id": shared.model_id,
        "name": shared.name,
        "is_public": shared.is_public,
        "is_restricted": shared.is_restricted,
        "collaborators": [collaborator_value(each) for each in shared.collaborators],
    }


def collaborator_value(collaborator: Collaborator) -> dict[str, Json]:
    return {
        "id": collaborator.id,
        "name": collaborator.name,
        "kind": collaborator.kind,
        "role": collaborator.role,
        "is_owner": collaborator.is_owner,
    }


def collaborators_table(found: list[Collaborator]) -> str:
    rows = [[each.name, each.role, each.kind, "owns it" if each.is_owner else ""] for each in found]
    return table(["NAME", "ROLE", "KIND", ""], rows)


def _article(word: str) -> str:
    return "an" if word[0] in "AEIOU" else "a"
