"""This file is what an instance is told at its start: `instance.json` as a frozen value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

SOCKET_PATH_BYTES = 100  # the kernel takes 107, and a socket is made under a longer name first
DEFAULT_BODY_BYTES = 64 * 1024 * 1024
DEFAULT_GRACE_S = 30.0


class InvalidConfig(Exception):
    """The configuration cannot be used; the text names every problem, one a line."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One instance of one version: what to serve, where, and within which bounds."""

    instance_id: str
    version_id: str
    version_number: int
    model_id: str
    file: str  # relative to `project_dir`
    function: str
    project_dir: Path
    sockets: tuple[Path, ...]  # one per worker
    exit_file: Path
    request_timeout_s: float
    max_body_bytes: int = DEFAULT_BODY_BYTES
    grace_s: float = DEFAULT_GRACE_S
    example_input: str = ""  # a whole request body, answered before the worker is ready; "" is none
    recycle_after_calls: int = 0  # about so many, then a fresh worker takes over; 0: never
    preload: bool = False  # import once, and fork the workers from that
    memory_bytes: int = 0  # that all processes together may hold; 0: not known


def read(path: Path, *, instance_id: str) -> Instance:
    """The settings in the file `path`. Raises InvalidConfig, also when the file is another instance's."""
    try:
        settings = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidConfig(f"{path} is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise InvalidConfig(f"{path} must hold a JSON object")
    instance = parse(settings)
    if instance.instance_id != instance_id:
        raise InvalidConfig(f"{path} is for instance {instance.instance_id!r}, not {instance_id!r}")
    return instance


def parse(settings: dict[str, object]) -> Instance:
    """The instance that `settings` describe; unknown settings are ignored. Raises InvalidConfig."""
    check = _Check(settings)
    instance = Instance(
        instance_id=check.text("instance_id"),
        version_id=check.text("version_id", pattern=r"[0-9a-f]{24}", looks="24 lower-case hex digits"),
        version_number=int(check.number("version_number", least=1, whole=True)),
        model_id=check.text("model_id"),
        file=check.text("file"),
        function=check.text("function"),
        project_dir=check.path("project_dir"),
        sockets=check.sockets("sockets"),
        exit_file=check.path("exit_file"),
        request_timeout_s=check.number("request_timeout_s", least=0.001),
        max_body_bytes=int(check.number("max_body_bytes", least=1, whole=True, default=DEFAULT_BODY_BYTES)),
        grace_s=check.number("grace_s", least=0, default=DEFAULT_GRACE_S),
        example_input=check.text("example_input", pattern=".*", looks="a text", default=""),
        recycle_after_calls=int(check.number("recycle_after_calls", least=0, whole=True, default=0)),
        preload=check.flag("preload"),
        memory_bytes=int(check.number("memory_bytes", least=0, whole=True, default=0)),
    )
    if check.problems:
        raise InvalidConfig("\n".join(check.problems))
    return instance


class _Check:
    """Reads settings one by one and collects what is wrong, so that all of it can be named at once."""

    def __init__(self, settings: dict[str, object]) -> None:
        self._settings = settings
        self.problems: list[str] = []

    def text(
        self, name: str, *, pattern: str = ".+", looks: str = "a text that is not empty", default: str | None = None
    ) -> str:
        value = self._settings.get(name, default)
        if isinstance(value, str) and re.fullmatch(pattern, value, re.DOTALL):
            return value
        self._refuse(name, looks)
        return ""

    def number(self, name: str, *, least: float, whole: bool = False, default: float | None = None) -> float:
        value = self._settings.get(name, default)
        kinds = int if whole else (int, float)
        if isinstance(value, kinds) and not isinstance(value, bool) and least <= value < float("inf"):
            return value
        self._refuse(name, f"a {'whole ' if whole else ''}number of at least {least:g}")
        return least

    def flag(self, name: str) -> bool:
        value = self._settings.get(name, False)
        if isinstance(value, bool):
            return value
        self._refuse(name, "true or false")
        return False

    def path(self, name: str) -> Path:
        value = self._settings.get(name)
        if _is_absolute(value):
            return Path(cast("str", value))
        self._refuse(name, "an absolute path")
        return Path()

    def sockets(self, name: str) -> tuple[Path, ...]:
        value = self._settings.get(name)
        if isinstance(value, list) and value and all(_is_absolute(path) for path in value):
            if all(len(path.encode()) <= SOCKET_PATH_BYTES for path in value):
                return tuple(Path(path) for path in value)
            self._refuse(name, f"paths of at most {SOCKET_PATH_BYTES} bytes")
            return ()
        self._refuse(name, "a list of absolute paths, one per worker")
        return ()

    def _refuse(self, name: str, looks: str) -> None:
        if name in self._settings:
            self.problems.append(f"{name} must be {looks}, got {self._settings[name]!r}")
        else:
            self.problems.append(f"{name} is not set; it must be {looks}")


def _is_absolute(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and "\0" not in value
