"""This file is the command `modelway` and its subcommands."""

from __future__ import annotations

from importlib.metadata import version

import click

from modelway.commands import (
    administration,
    audit,
    describing,
    keys,
    models,
    organisations,
    people,
    platform,
    project,
    publish,
    running,
    sharing,
    traffic,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("modelway"), package_name="modelway")
def main() -> None:
    """Publish a function as a REST endpoint, call it, and see what it does.

    The platform's url and api_key are read from the file that MODELWAY_CONFIG names, else from the nearest
    .modelway/cli.toml upwards, else from cli.toml in your configuration folder.
    """


main.add_command(publish.publish)
for command in (
    models.predict,
    models.list_,
    models.show,
    models.versions,
    models.start,
    models.stop,
    models.cancel,
    models.logs,
    running.settings,
    running.scale,
    running.restart,
    running.archive,
    running.restore,
    traffic.promote,
    traffic.demote,
    traffic.rollback,
    traffic.canary,
    sharing.share,
    sharing.unshare,
    sharing.leave,
    sharing.collaborators,
    sharing.visibility,
    sharing.restrict,
    sharing.transfer,
    sharing.invoke,
    describing.describe,
    project.project,
    administration.quotas,
    administration.central,
    audit.audit,
    people.whoami,
    people.people,
    keys.keys,
    organisations.organisations,
):
    main.add_command(command)
main.add_command(platform.status)
main.add_command(platform.config)
