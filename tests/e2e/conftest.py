"""This file holds the platform that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.platform import Platform
from tests.e2e.platform import platform as running_platform


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running_platform(routers=2) as running:
        yield running


collect_ignore = ["official_client.py"]  # it runs in an environment of its own, which has what it imports
