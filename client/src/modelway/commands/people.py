"""This file is the subcommands about people: who there is, and what they may. Passwords come by prompt or file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from modelway import Client
from modelway.commands.output import Output, answering, table
from modelway.people import Person
from modelway.records import Json

of_whom = click.option("--of", "owner", metavar="PERSON", help="Of somebody else. For administrators.")


@click.command()
@answering
def whoami(output: Output) -> None:
    """Show whose API key the command line has."""
    with Client.from_configuration() as client:
        me = client.people.me()
    value = {"id": me.id, "user_name": me.user_name, "is_administrator": me.is_administrator}
    output.answer(value, f"{me.user_name}{', an administrator' if me.is_administrator else ''} ({me.id})")


@click.group()
def people() -> None:
    """The people of the platform. PERSON is a user name, an e-mail address or an id.

    Passwords are asked for, or read from a file; they are never arguments.
    """


@people.command("list")
@click.argument("name", required=False)
@answering
def list_(output: Output, name: str | None) -> None:
    """List the people, or those with NAME in their user name, full name or e-mail address."""
    with Client.from_configuration() as client:
        found = client.people.all(name=name)
    rows = [[each.user_name, each.full_name, each.email, _marks(each), each.id] for each in found]
    text = table(["USER NAME", "FULL NAME", "E-MAIL", "", "ID"], rows) if rows else "There is nobody of the kind."
    output.answer([_value(each) for each in found], text)


@people.command("add")
@click.argument("user_name")
@click.option("--email", default="", help="The person's e-mail address.")
@click.option("--full-name", default="", help="The person's full name.")
@click.option("--administrator", "is_administrator", is_flag=True, help="The person may do everything.")
@click.option("--password", "asks", is_flag=True, help="Ask for a password; without one, see `people password`.")
@click.option("--password-file", type=click.Path(), help="Read the password from a file; - for standard input.")
@answering
def add(output: Output, /, user_name: str, asks: bool, password_file: str | None, **rest: Json) -> None:
    """Add the person USER_NAME."""
    password = _password(password_file, "Password", confirms=True) if asks or password_file else None
    with Client.from_configuration() as client:
        person = client.people.add(user_name, password=password, **rest)
    how = "" if password else f"; `modelway people password {person.user_name}` gives a password"
    output.answer(_value(person), f"{person.user_name} is there{how}.")


@people.command("set")
@click.argument("person")
@click.option("--email", help="The person's e-mail address; empty for none.")
@click.option("--full-name", help="The person's full name; empty for none.")
@click.option("--administrator/--no-administrator", "is_administrator", default=None, help="May do everything, or not.")
@answering
def set_(output: Output, /, person: str, **changes: Json) -> None:
    """Change what is said of PERSON, or make them an administrator. Your full name is yours to change."""
    if all(value is None for value in changes.values()):
        raise click.UsageError("Nothing is to be changed: give --email, --full-name or --administrator.")
    with Client.from_configuration() as client:
        after = client.people.change(person, **changes)
    output.answer(_value(after), f"{after.user_name} is changed.")


def _switch(word: str, about: str, done: str, *, is_disabled: bool) -> click.Command:
    @click.argument("person")
    @answering
    def command(output: Output, person: str) -> None:
        with Client.from_configuration() as client:
            after = client.people.change(person, is_disabled=is_disabled)
        output.answer(_value(after), f"{after.user_name} {done}.")

    return click.command(word, help=about)(command)


people.add_command(
    _switch("disable", "Shut PERSON out: password, API keys, browsers.", "is disabled and signed out", is_disabled=True)
)
people.add_command(
    _switch("enable", "Let PERSON in again, with password and API keys.", "is enabled", is_disabled=False)
)


@people.command("password")
@click.argument("person", required=False)
@click.option("--password-file", type=click.Path(), help="Read the new password from a file; - for standard input.")
@click.option("--current-file", type=click.Path(), help="Read your present password from a file.")
@answering
def password_(output: Output, person: str | None, password_file: str | None, current_file: str | None) -> None:
    """Set your password, or PERSON's. Every browser they are signed in with is signed out."""
    with Client.from_configuration() as client:
        me = client.people.me()
        whose = client.people.find(me.id if person is None else person)
        is_asked = whose.id == me.id and whose.has_password is not False
        current = _password(current_file, "Present password", confirms=False) if is_asked else None
        new = _password(password_file, f"New password of {whose.user_name}", confirms=True)
        client.people.set_password(whose, new, current=current)
    output.answer(_value(whose), f"{whose.user_name} has a new password.")


@people.command("signout")
@click.argument("person", required=False)
@answering
def sign_out(output: Output, person: str | None) -> None:
    """Sign yourself, or PERSON, out of every browser. API keys go on working."""
    with Client.from_configuration() as client:
        whose = client.people.me() if person is None else client.people.find(person)
        client.people.sign_out(whose)
    output.answer(_value(whose), f"{whose.user_name} is signed out everywhere.")


def _password(file: str | None, prompt: str, *, confirms: bool) -> str:
    """From the file, without the line's end; else asked for on the terminal, unseen."""
    if file is None:
        asked: str = click.prompt(prompt, hide_input=True, confirmation_prompt=confirms, err=True)
        return asked
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}.") from None
    return text.removesuffix("\n").removesuffix("\r")


def find_owner(client: Client, owner: str | None) -> Person | None:
    """Whose things `--of` is about; None: the caller's own."""
    return None if owner is None else client.people.find(owner)


def _marks(person: Person) -> str:
    marks: list[tuple[bool, str]] = [(person.is_administrator, "administrator"), (person.is_disabled, "disabled")]
    return ", ".join(mark for applies, mark in marks if applies)


def _value(person: Person) -> dict[str, Json]:
    return {
        "id": person.id,
        "user_name": person.user_name,
        "email": person.email,
        "full_name": person.full_name,
        "is_administrator": person.is_administrator,
        "is_disabled": person.is_disabled,
    }
