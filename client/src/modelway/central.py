"""This file is the platform's central configuration: what holds for models that say nothing. Administrators only."""

from __future__ import annotations

from dataclasses import dataclass

from modelway.errors import Ambiguous, NotFound
from modelway.records import Json
from modelway.transport import SERVING, Transport

_PATH = f"{SERVING}/centralConfig"


@dataclass(frozen=True, kw_only=True)
class CentralKey:
    """One key. `is_set`: `value` was set by somebody, and is not merely the default."""

    key: str
    value: float
    default: float
    is_set: bool
    unit: str
    description: str

    @classmethod
    def read(cls, answer: Json) -> CentralKey:
        return cls(
            key=str(answer["key"]),
            value=answer["value"],
            default=answer["default"],
            is_set=bool(answer["isSet"]),
            unit=answer.get("unit") or "",
            description=answer.get("description") or "",
        )


@dataclass(frozen=True, kw_only=True)
class PendingModel:
    """A model whose running versions were started before `keys` were changed. A restart picks them up."""

    model_id: str
    name: str
    version_ids: tuple[str, ...]
    keys: tuple[str, ...]

    @classmethod
    def read(cls, answer: Json) -> PendingModel:
        return cls(
            model_id=str(answer["modelId"]),
            name=str(answer["name"]),
            version_ids=tuple(str(each) for each in answer["versions"]),
            keys=tuple(str(each) for each in answer["keys"]),
        )


@dataclass(frozen=True)
class Central:
    """Keys may be shortened from the left, as far as one remains: `uWsgi.workerCount`, `workerCount`."""

    transport: Transport

    def all(self) -> list[CentralKey]:
        return self.transport.get(_PATH, lambda answer: [CentralKey.read(each) for each in answer["items"]])

    def get(self, key: str) -> CentralKey:
        """Raises NotFound, and Ambiguous when several keys end like this."""
        keys = self.all()
        found = [each for each in keys if each.key == key] or [each for each in keys if each.key.endswith(f".{key}")]
        if not found:
            raise NotFound(f"There is no key {key}: `modelway central get` shows those there are.")
        if len(found) > 1:
            raise Ambiguous(f"Several keys end in {key}: {', '.join(each.key for each in found)}.")
        return found[0]

    def set(self, key: str, value: float) -> CentralKey:
        """Raises Rejected with the bounds."""
        return self.transport.repeat("PUT", f"{_PATH}/{self.get(key).key}", CentralKey.read, body={"value": value})

    def unset(self, key: str) -> CentralKey:
        """The key has its default again."""
        return self.transport.repeat("DELETE", f"{_PATH}/{self.get(key).key}", CentralKey.read)

    def pending(self) -> list[PendingModel]:
        """Models of which running versions have yet to pick up what was changed."""
        return self.transport.get(
            f"{_PATH}/pending", lambda answer: [PendingModel.read(each) for each in answer["items"]]
        )
