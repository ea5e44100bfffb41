"""This file is a model with two labels that is called all the time, and what may not happen to its callers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from chaos.processes import instance_of
from tests.e2e.model import Model
from tests.e2e.platform import Platform
from tests.load.load import Load, Slice, Summary
from tests.parts import wait_for

LABELS = ("latest", "prod")
TIMEOUT_S = 10.0  # of a request


@dataclass
class Serving:
    """A model in advanced mode, two instances of each version, that is called all the time."""

    platform: Platform
    model: Model
    load: Load
    quiet: Summary

    def number(self, label: str) -> int:
        return self.model.number_of(label)

    def until_whole(self, instances: int | None = None) -> None:
        for number in {self.number(label) for label in LABELS}:
            self.model.until_whole(number, instances)

    @contextmanager
    def unharmed(self, what: str, *, lost: int = 0) -> Iterator[Slice]:
        """Inside something happens of which no caller may notice anything, but `lost` of them at most."""
        with self.load.during(what) as part:
            yield part
        ended = part.ended
        assert len(ended.failed) <= lost, ended.failed[:5]
        assert ended.longest_s < TIMEOUT_S
        assert ended.median_s < 20 * self.quiet.median_s + 0.05

    def leaders(self, number: int) -> list[psutil.Process]:
        """The first process of each instance of a version."""
        end = self.model.versions[number][-8:]
        return [each for each in self.platform.instances() if instance_of(each).startswith(end)]

    def until_there_are(self, instances: int, label: str) -> None:
        """Processes, also of those that still drain."""
        number = self.number(label)
        wait_for(lambda: len(self.leaders(number)) == instances, 60, what=f"{label} has {instances} instances")
