"""This file is the subcommands about projects: what they are, their files, and who works on them."""

from __future__ import annotations

import click

from modelway import Client, CommittedFile, Difference, Project
from modelway.commands.output import Output, answering, plural, size_text, table
from modelway.commands.sharing import collaborator_value
from modelway.project_people import ROLES
from modelway.records import Json


@click.group()
def project() -> None:
    """Projects: the files that model APIs are published from, and who works on them.

    NAME is OWNER/PROJECT, or PROJECT alone where it is your own.
    """


@project.command("show")
@click.argument("name")
@answering
def show(output: Output, name: str) -> None:
    """Show the project NAME and its people."""
    with Client.from_configuration() as client:
        found = client.projects.show(name)
    output.answer(project_value(found), project_text(found))


@project.command("files")
@click.argument("name")
@click.argument("folder", required=False)
@click.option("--commit", "commit_id", metavar="ID", help="Of which commit; by default of the newest.")
@answering
def files(output: Output, name: str, folder: str | None, commit_id: str | None) -> None:
    """List the files of a commit of the project NAME; with FOLDER, those in it and below it."""
    with Client.from_configuration() as client:
        found = client.projects.files(name, commit_id, folder=folder)
    rows = [[each.path, size_text(each.size_bytes), each.sha256[:12]] for each in found]
    text = table(["PATH", "SIZE", "SHA-256"], rows) if rows else "There is nothing there."
    output.answer([_file_value(each) for each in found], text)


@project.command("diff")
@click.argument("name")
@click.option("--from", "before", metavar="ID", help="The earlier commit; by default the one before the later.")
@click.option("--to", "after", metavar="ID", help="The later commit; by default the newest.")
@answering
def diff(output: Output, name: str, before: str | None, after: str | None) -> None:
    """List the files of the project NAME that differ between two commits: A added, R removed, C changed."""
    with Client.from_configuration() as client:
        found = client.projects.diff(name, before, after)
    output.answer(_difference_value(found), _difference_text(found))


@project.command("share")
@click.argument("name")
@click.option("--with", "who", required=True, metavar="NAME", help="A user name, e-mail address or organisation.")
@click.option("--role", type=click.Choice(ROLES), default=ROLES[0], show_default=True)
@answering
def share(output: Output, name: str, who: str, role: str) -> None:
    """Let somebody work on the project NAME, and reach the model APIs of it."""
    with Client.from_configuration() as client:
        found = client.projects.share(name, who, role)
    output.answer(project_value(found), f"{who} is {role} of {found.owner}/{found.name}.")


@project.command("unshare")
@click.argument("name")
@click.argument("who")
@answering
def unshare(output: Output, name: str, who: str) -> None:
    """Take the role away that WHO has in the project NAME."""
    with Client.from_configuration() as client:
        found = client.projects.unshare(name, who)
    output.answer(project_value(found), f"{who} has no role in {found.owner}/{found.name} any more.")


@project.command("leave")
@click.argument("name")
@answering
def leave(output: Output, name: str) -> None:
    """Give up your own role in the project NAME."""
    with Client.from_configuration() as client:
        client.projects.leave(name)
    output.answer({"name": name}, f"You have no role of your own in {name} any more.")


@project.command("visibility")
@click.argument("name")
@click.argument("visibility", type=click.Choice(["Public", "Searchable", "Private"], case_sensitive=False))
@answering
def visibility(output: Output, name: str, visibility: str) -> None:
    """Say who finds the project NAME: everyone with its files, everyone without them, or collaborators only."""
    with Client.from_configuration() as client:
        found = client.projects.describe(name, visibility=visibility)
    output.answer(project_value(found), f"{found.owner}/{found.name} is {found.visibility}.")


@project.command("archive")
@click.argument("name")
@answering
def archive(output: Output, name: str) -> None:
    """Take the project NAME out of every list. Its files and its model APIs stay."""
    with Client.from_configuration() as client:
        found = client.projects.archive(name)
    output.answer(project_value(found), f"{found.owner}/{found.name} is archived.")


@project.command("restore")
@click.argument("name")
@answering
def restore(output: Output, name: str) -> None:
    """Bring the archived project NAME back."""
    with Client.from_configuration() as client:
        found = client.projects.restore(name)
    output.answer(project_value(found), f"{found.owner}/{found.name} is there again.")


def project_value(found: Project) -> dict[str, Json]:
    return {
        "id": found.id,
        "name": found.name,
        "owner": found.owner,
        "description": found.description,
        "visibility": found.visibility,
        "is_archived": found.is_archived,
        "tags": list(found.tags),
        "collaborators": [collaborator_value(each) for each in found.collaborators],
        "commits": found.commits,
        "newest_commit_id": found.newest_commit_id,
    }


def project_text(found: Project) -> str:
    rows = [
        ["name", f"{found.owner}/{found.name}"],
        ["id", found.id],
        ["description", found.description],
        ["visibility", found.visibility + (", archived" if found.is_archived else "")],
        ["tags", ", ".join(found.tags)],
        ["commits", f"{found.commits}, the newest {found.newest_commit_id}" if found.newest_commit_id else "none yet"],
        ["people", ", ".join(f"{each.name} ({each.role})" for each in found.collaborators)],
    ]
    return "\n".join(f"{label + ':':13}{text}" for label, text in rows if text)


def _file_value(file: CommittedFile) -> dict[str, Json]:
    return {"path": file.path, "sha256": file.sha256, "size_bytes": file.size_bytes, "mode": f"{file.mode:o}"}


def _difference_value(found: Difference) -> dict[str, Json]:
    return {
        "from": found.before,
        "to": found.after,
        "added": [_file_value(each) for each in found.added],
        "removed": [_file_value(each) for each in found.removed],
        "changed": [
            {"path": after.path, "before": _file_value(before), "after": _file_value(after)}
            for before, after in found.changed
        ],
    }


def _difference_text(found: Difference) -> str:
    lines = [
        *((each.path, f"A {each.path} ({size_text(each.size_bytes)})") for each in found.added),
        *((each.path, f"R {each.path}") for each in found.removed),
        *(
            (after.path, f"C {after.path} ({size_text(before.size_bytes)} -> {size_text(after.size_bytes)})")
            for before, after in found.changed
        ),
    ]
    between = f"{plural(found.count, 'file')} differ between {found.before or 'nothing'} and {found.after}."
    return "\n".join([*(text for _, text in sorted(lines)), between])
