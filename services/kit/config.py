"""This file is configuration: a frozen value, read once from a mapping, with every problem named at once."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class ConfigError(Exception):
    """The environment does not describe a configuration. One problem a line; never holds a value of a
    secret.
    """


class Secret:
    """A text that never shows: not in `repr`, not in a log, not in an error. `reveal()` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


class BusConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the bus. `nats_user` is the service's name: permissions and inboxes follow from it."""

    nats_url: str
    nats_user: str
    nats_password: Secret


class ServiceConfig(BusConfig, frozen=True, kw_only=True):
    """What every service reads; a service's own `config.py` adds its fields in a subclass."""

    service_id: str = ""  # becomes `<nats_user>-1`
    log_level: str = "info"
    health_host: str = "127.0.0.1"
    health_port: int

    def __post_init__(self) -> None:
        if not self.service_id:
            msgspec.structs.force_setattr(self, "service_id", f"{self.nats_user}-1")


@dataclasses.dataclass(frozen=True)
class _Field:
    name: str
    type: Any
    has_default: bool

    @property
    def variable(self) -> str:
        return self.name.upper()


def read_config(cls: type[T], environ: Mapping[str, str]) -> T:
    """`cls` filled from `environ`: the field `nats_url` from `NATS_URL`, and so on.

    Fields are str, int, float, bool, Path or `Secret`, or one of them `| None`. Any field may instead be read
    from the file that `<NAME>_FILE` names, which is how secrets come. An empty variable counts as not set.

    A `problems_of(values)` of the class says what fields that were read one by one do not say together.

    Raises `ConfigError` naming all problems at once.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in _fields(cls):
        try:
            text = _text(field, environ)
            if text is not None:
                values[field.name] = _parse(field, text)
            elif not field.has_default:
                problems.append(f"{field.variable} is not set")
        except ConfigError as error:
            problems.append(str(error))
    problems.extend(getattr(cls, "problems_of", _no_problems)(values))
    if problems:
        raise ConfigError("\n".join(problems))
    return cls(**values)


def _no_problems(_values: Mapping[str, Any]) -> list[str]:
    return []


def _fields(cls: type[Any]) -> Iterator[_Field]:
    hints = typing.get_type_hints(cls)
    if dataclasses.is_dataclass(cls):
        for field in dataclasses.fields(cls):
            has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            yield _Field(field.name, hints[field.name], has_default)
    else:
        for info in msgspec.structs.fields(cls):
            yield _Field(info.name, hints[info.name], not info.required)


def _text(field: _Field, environ: Mapping[str, str]) -> str | None:
    direct, file = environ.get(field.variable), environ.get(f"{field.variable}_FILE")
    if direct:
        return direct
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"{field.variable}_FILE cannot be read: {file}: {reason}") from error


_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


_KINDS: dict[Any, tuple[Callable[[str], Any], str]] = {
    str: (str, "text"),
    int: (int, "a whole number"),
    float: (float, "a number"),
    bool: (_flag, "true or false"),
    Path: (Path, "a path"),
    Secret: (Secret, "a secret"),
}


def _parse(field: _Field, text: str) -> Any:
    read, what = _KINDS[_without_none(field.type)]
    try:
        return read(text)
    except ValueError as error:
        raise ConfigError(f"{field.variable} must be {what}, got {text!r}") from error


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return next(part for part in typing.get_args(hint) if part is not types.NoneType)
    return hint
