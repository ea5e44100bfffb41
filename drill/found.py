"""This file finds the platform that the command line finds, and its processes on this machine."""

from __future__ import annotations

import os

from modelway import Client, ModelwayError
from modelway.configuration import Configuration, find_configuration

from services.embedded.home import open_home
from services.embedded.ports import kept_ports
from services.embedded.routers import places
from tests.e2e.platform import Platform


class NoPlatform(Exception):
    """There is none to drill; says why in one sentence."""


def find_platform() -> tuple[Platform, Configuration]:
    """The platform that is up here. Raises NoPlatform."""
    try:
        configuration = find_configuration()
        with Client.from_configuration(configuration) as client:
            troubles = client.platform().troubles
    except ModelwayError as error:
        raise NoPlatform(error.reason) from error
    if troubles:
        raise NoPlatform(f"The platform at {configuration.url} is not well before the drill: {troubles[0]}")
    source = configuration.source
    home = None if source is None else source.resolve().parent
    if home is None or not (home / "locks").is_dir():
        raise NoPlatform(f"The platform at {configuration.url} has no home on this machine: `make up` gives it one.")
    if os.geteuid() not in (0, home.stat().st_uid):
        raise NoPlatform(f"The platform in {home} belongs to another user, whose processes you may not kill.")
    ports = kept_ports(open_home(home))
    if ports is None:
        raise NoPlatform(f"The platform in {home} does not run: `make up` starts it.")
    platform = Platform(home, routers=len(places(open_home(home), ports)))
    platform.url = configuration.url
    return platform, configuration
