"""This file is the subcommand that prints what a model API takes and gives."""

from __future__ import annotations

import json
import re
import shlex

import click

from modelway import Client, Description
from modelway.commands.output import Output, answering, table

# Where a docstring goes on with what the table has.
_SECTION = re.compile(r"^\s*(?:(?:Args|Arguments|Parameters|Returns|Yields|Raises):?\s*$|:(?:param|returns?)\b)", re.M)


@click.command()
@click.argument("name")
@click.option("--label", type=click.Choice(["latest", "prod"]), default="latest", show_default=True)
@answering
def describe(output: Output, name: str, label: str) -> None:
    """Print what the function of the model API NAME takes and gives, and a call to try.

    With --json, the OpenAPI document of the version that the label leads to.
    """
    with Client.from_configuration() as client:
        description = client.describe(name, label=label)
    output.answer(description.document, described(name, description, label=label))


def described(name: str, description: Description, *, label: str = "latest") -> str:
    """What people read about a model."""
    head = f"{description.function}(), version {description.version} of {name}"
    parts = [head, description.summary, _prose(description.text.removeprefix(description.summary))]
    rows = [
        [
            each.name,
            each.type,
            "" if each.is_required or each.is_many else f"= {json.dumps(each.default, ensure_ascii=False)}",
            " ".join(each.text.split()),
        ]
        for each in description.parameters
    ]
    parts += [table(["PARAMETER", "TYPE", "DEFAULT", ""], rows) if rows else "It takes nothing by name."]
    parts += [f"gives: {description.result}"]
    body = json.dumps(description.example, ensure_ascii=False)
    told = "an example to be filled in" if description.is_example_made else "example"
    options = [] if label == "latest" else ["--label", label]
    parts += [f"{told}:\n{shlex.join(['modelway', 'invoke', name, body, *options])}"]
    return "\n\n".join(part for part in parts if part)


def _prose(text: str) -> str:
    found = _SECTION.search(text)
    return (text if found is None else text[: found.start()]).strip()
