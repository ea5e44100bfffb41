"""This file is settings as words on the command line: `memory=2GiB`, `workers=default`; and as rows of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import click

from modelway import Settings
from modelway.commands.arguments import Size
from modelway.commands.output import plural, size_text, table
from modelway.records import Json


def _whole(text: str) -> int:
    return int(text)


def _calls(text: str) -> int:
    return 0 if text == "never" else int(text)


def _yes_or_no(text: str) -> bool:
    return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]


def _mode(text: str) -> str:
    return {"basic": "basic", "advanced": "advanced"}[text.lower()]


def _size(text: str) -> int:
    return int(Size().convert(text, None, None))


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


# The word, the platform's name, how its text is read, and what it should look like.
_WORDS: tuple[tuple[str, str, Callable[[str], Json], str], ...] = (
    ("instances", "replicas", _whole, "a whole number"),
    ("routing", "routingMode", _mode, "basic or advanced"),
    ("repeatable", "repeatableCalls", _yes_or_no, "yes or no"),
    ("quota", "resourceQuotaId", str, "the name of a resource quota"),
    ("memory", "memoryBytes", _size, "a size like 2GiB"),
    ("memory-requested", "memoryRequestedBytes", _size, "a size like 2GiB"),
    ("cpu", "cpuLimit", float, "a number of cores"),
    ("cpu-requested", "cpuRequested", float, "a number of cores"),
    ("workers", "workerCount", _whole, "a whole number"),
    ("recycle-after", "recycleAfterCalls", _calls, "a number of calls, or never"),
    ("preload", "preload", _yes_or_no, "yes or no"),
    ("timeout", "requestTimeoutSeconds", _seconds, "a number of seconds"),
    ("start-deadline", "startDeadlineSeconds", _seconds, "a number of seconds"),
    ("build-timeout", "buildTimeoutSeconds", _seconds, "a number of seconds"),
    ("health-delay", "healthCheck.initialDelaySeconds", _seconds, "a number of seconds"),
    ("health-period", "healthCheck.periodSeconds", _seconds, "a number of seconds"),
    ("health-timeout", "healthCheck.timeoutSeconds", _seconds, "a number of seconds"),
    ("health-failures", "healthCheck.failureThreshold", _whole, "a whole number"),
)
_NULLS = {"workerCount": "default", "requestTimeoutSeconds": "default", "resourceQuotaId": "none"}
WORDS = tuple(word for word, *_ in _WORDS)


class Setting(click.ParamType[tuple[str, Any]]):
    """`KEY=VALUE` as the platform's name and a JSON value; also `workers=default`, `timeout=default`, `quota=none`."""

    name = "setting"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Any]:
        if isinstance(value, tuple):
            return value
        key, is_given, text = str(value).partition("=")
        found = next((each for each in _WORDS if key in each[:2]), None)
        if found is None:
            self.fail(f"there is no setting {key!r}: there are {', '.join(WORDS)}.", param, ctx)
        _, name, read, form = found
        if is_given and text == _NULLS.get(name):
            return name, None
        try:
            return name, read(text)
        except (ValueError, KeyError, click.BadParameter):
            self.fail(f"{key} must be {form}, got {text!r}.", param, ctx)


def as_changes(settings: Iterable[tuple[str, Json]], now: Settings) -> dict[str, Json]:
    """What to send: health checks are one value, in which what is not named stays as it is `now`."""
    changes: dict[str, Json] = {}
    for name, value in settings:
        whole, _, part = name.partition(".")
        if part:
            known: dict[str, Json] = changes.get(whole) or now.values.get(whole) or {}
            changes[whole] = {**known, part: value}
        else:
            changes[name] = value
    return changes


_VOLUME = re.compile(r"(?P<name>[A-Za-z0-9_-]+)=(?P<host>/[^:]*):(?P<mount>/[^:]*)(?P<write>:rw)?")


class Volume(click.ParamType[dict[str, Any]]):
    """NAME=/on/the/host:/in/the/model, read only unless `:rw` follows."""

    name = "volume"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        found = _VOLUME.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is not a volume: write it like data=/srv/data:/data or data=/srv/data:/data:rw.")
        return {
            "name": found["name"],
            "hostPath": found["host"],
            "mountPath": found["mount"],
            "readOnly": found["write"] is None,
        }


def settings_table(settings: Settings, quota: str = "-") -> str:
    """All settings, with what changing each does; `quota` is the name of the one that it has."""
    restarting = set(settings.restarting)

    def row(word: str, name: str, text: str) -> list[str]:
        return [word, text, "restarts" if name.partition(".")[0] in restarting else "at once"]

    rows = [row(word, name, quota if word == "quota" else _value_text(name, settings)) for word, name, _, _ in _WORDS]
    rows.insert(1, row("scaling", "scaling", _scaling_text(settings.values.get("scaling"))))
    rows.append(row("environment", "environmentVariables", ", ".join(settings.variables) or "-"))
    rows.append(row("volumes", "volumes", _volumes_text(settings.values.get("volumes") or ())))
    return table(["SETTING", "VALUE", "CHANGING IT"], rows)


def _value_text(name: str, settings: Settings) -> str:
    whole, _, part = name.partition(".")
    value = settings.values.get(whole)
    if part:
        value = (value or {}).get(part)
    if value is None and name in settings.effective:
        return f"{_plain(name, settings.effective.get(name))} (the platform's)"
    return _plain(name, value)


def _plain(name: str, value: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "recycleAfterCalls":
        return f"{value} calls" if value else "never"
    if "Bytes" in name:
        return size_text(value) if value else "-"
    if "cpu" in name:
        return plural(value, "core") if value else "-"
    return f"{value:g} s" if "Seconds" in name else str(value)


def _scaling_text(scaling: Json) -> str:
    if not scaling:
        return "-"
    return f"{scaling['minReplicas']} to {scaling['maxReplicas']}, {scaling['targetCalls']:g} calls each"


def _volumes_text(volumes: Iterable[Json]) -> str:
    texts = (
        f"{each['name']}={each['hostPath']}:{each['mountPath']}{'' if each['readOnly'] else ':rw'}" for each in volumes
    )
    return ", ".join(texts) or "-"
