"""This file is how a model API's versions run, as the platform keeps it, and how to change that.

Settings go by the names that the platform has for them: `{"workerCount": 2, "requestTimeoutSeconds": None}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modelway.models import model_path
from modelway.records import Json
from modelway.transport import Transport


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`values` has all of them by name, `effective` those the platform decides where the model says nothing.

    Changing one of `restarting` replaces the instances of running versions, one at a time; `restarted` are the ids of
    the versions to which the last change does that.
    """

    values: dict[str, Json]
    effective: dict[str, Json]
    restarting: tuple[str, ...]
    restarted: tuple[str, ...] = ()

    @classmethod
    def read(cls, answer: Json) -> Settings:
        apart = {"effective", "restarting", "restarted"}
        return cls(
            values={str(name): value for name, value in answer.items() if name not in apart},
            effective=dict(answer.get("effective") or {}),
            restarting=tuple(str(each) for each in answer.get("restarting") or ()),
            restarted=tuple(str(each) for each in answer.get("restarted") or ()),
        )

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its environment variables. Their values are never shown."""
        return tuple(str(each["key"]) for each in self.values.get("environmentVariables") or ())


def read_settings(transport: Transport, model_id: str) -> Settings:
    return transport.get(_path(model_id), Settings.read)


def change_settings(transport: Transport, model_id: str, changes: Mapping[str, Json]) -> Settings:
    """The settings after `changes`; what they do not name stays. Raises Rejected, with the bounds or the sum."""
    return transport.repeat("PUT", _path(model_id), Settings.read, body=dict(changes))


def with_variables(
    settings: Settings, changed: Mapping[str, str], removed: tuple[str, ...] = ()
) -> dict[str, list[dict[str, str]]]:
    """The change that sets some environment variables, removes some, and keeps the others as they are."""
    kept = [each for each in settings.variables if each not in changed and each not in removed]
    variables = [{"key": each} for each in kept] + [{"key": key, "value": value} for key, value in changed.items()]
    return {"environmentVariables": variables}


def _path(model_id: str) -> str:
    return f"{model_path(model_id)}/settings"
