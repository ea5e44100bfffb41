"""This file is the subcommands about the platform itself, and about the configuration that leads to it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from modelway import Client, Platform
from modelway.commands.output import Output, answering, table
from modelway.configuration import find_configuration
from modelway.records import Json


@click.command()
@answering
def status(output: Output) -> None:
    """Show the platform's own health; exits with 1 when something is not well."""
    with Client.from_configuration() as client:
        platform, version, url = client.platform(), client.platform_version(), client.url
    value = {
        "url": url,
        "version": version,
        "is_healthy": not platform.troubles,
        "troubles": list(platform.troubles),
        "database": platform.database,
        "bus": platform.bus,
        "services": [{"service": each.service, "id": each.id, "is_alive": each.is_alive} for each in platform.services],
        "routers": [{"id": router, "rejected": why} for router, why in platform.routers.items()],
    }
    output.answer(value, _status_text(platform, f"Modelway {version} at {url}"))
    if platform.troubles:
        for trouble in platform.troubles:
            output.note(f"Error: {trouble}", fg="red")
        sys.exit(1)


@click.group()
def config() -> None:
    """The configuration that holds in this folder."""


@config.command("show")
@answering
def show(output: Output) -> None:
    """Show where the platform is; only with --json, also the API key."""
    found = find_configuration()
    value = {"url": found.url, "api_key": found.api_key, "source": str(found.source)}
    output.answer(value, f"url:     {found.url}\napi_key: (shown with --json)\nsource:  {found.source}")


def _status_text(platform: Platform, title: str) -> str:
    rows = [
        [each.service, each.id, "alive" if each.is_alive else "silent", _ago(each.last_seen)]
        for each in platform.services
    ]
    parts: list[list[Json]] = [["database", "", platform.database, ""], ["bus", "", platform.bus, ""]]
    return f"{title}\n\n{table(['PART', 'ID', 'STATE', 'LAST SEEN'], [*rows, *parts])}"


def _ago(at: datetime | None) -> str:
    if at is None:
        return "never"
    return f"{max(0.0, (datetime.now(UTC) - at).total_seconds()):.0f} s ago"
