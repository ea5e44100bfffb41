"""This file is where benchmarks take place: a whole platform, started when the first of them asks for it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Self

import httpx
from modelway import Client
from modelway.plan import Plan
from modelway.publishing import Published

from tests.e2e.platform import Platform, platform, write_project

READY_S = 60.0


class Stage:
    """What benchmarks share. Leaves nothing behind when it is left."""

    def __init__(self) -> None:
        self._things = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.folder = Path(self._things.enter_context(tempfile.TemporaryDirectory(prefix="mw-bench-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._things.close()

    @cached_property
    def platform(self) -> Platform:
        """Up, on ports of its own."""
        return self._things.enter_context(platform())

    @cached_property
    def client(self) -> Client:
        shown = self.platform.done("config", "show")
        return self._things.enter_context(Client(shown["url"], shown["api_key"]))

    def publish(self, name: str, script: str, *, requirements: str | None = None, instances: int = 1) -> Published:
        """A version of `name` that runs and takes traffic; its function is `predict`."""
        project = write_project(self.folder / name, script)
        plan = Plan(
            directory=project,
            name=name,
            file="predict.py",
            function="predict",
            requirements=requirements,
            instances=instances,
        )
        return self.client.publish(plan)

    @contextlib.contextmanager
    def emptied_afterwards(self) -> Iterator[None]:
        """Whatever was published inside is stopped at the end: the next benchmark finds no instance."""
        try:
            yield
        finally:
            for model in self.client.models():
                if self.platform.instances():
                    self.client.stop(model.name, timeout_s=None)
            until(lambda: not self.platform.instances(), "all instances have ended")


def call(endpoint: str, token: str | None, body: dict[str, object]) -> object:
    """The result of one prediction; None while there is no good one."""
    answer = httpx.post(endpoint, json=body, auth=(token or "", token or ""), timeout=30)
    return answer.json()["result"] if answer.status_code == 200 else None


def until(condition: Callable[[], bool], what: str, within_s: float = READY_S, every_s: float = 0.01) -> None:
    """Returns once `condition()` is true. Raises TimeoutError naming `what` after `within_s`."""
    end = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(every_s)
