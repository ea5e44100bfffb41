"""This file is resource quotas: named sizes of an instance that models choose from. They are hidden, never deleted."""

from __future__ import annotations

from dataclasses import dataclass

from modelway.errors import NotFound
from modelway.records import Json
from modelway.transport import SERVING, Transport

_PATH = f"{SERVING}/resourceQuotas"


@dataclass(frozen=True, kw_only=True)
class Quota:
    """Processors in cores, memory in bytes, for each instance."""

    id: str
    name: str
    cpu_requested: float
    cpu_limit: float
    memory_requested_bytes: int
    memory_limit_bytes: int
    is_visible: bool
    is_default: bool

    @classmethod
    def read(cls, answer: Json) -> Quota:
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            cpu_requested=float(answer["cpuRequested"]),
            cpu_limit=float(answer["cpuLimit"]),
            memory_requested_bytes=int(answer["memoryRequestedBytes"]),
            memory_limit_bytes=int(answer["memoryLimitBytes"]),
            is_visible=bool(answer["isVisible"]),
            is_default=bool(answer["isDefault"]),
        )


@dataclass(frozen=True)
class Quotas:
    """The platform's resource quotas, named by name or id. Only administrators change them."""

    transport: Transport

    def all(self) -> list[Quota]:
        return self.transport.get(_PATH, lambda answer: [Quota.read(each) for each in _items(answer)])

    def find(self, name: str) -> Quota:
        """Raises NotFound."""
        quotas = self.all()
        for quota in quotas:
            if name in {quota.id, quota.name}:
                return quota
        names = ", ".join(sorted(quota.name for quota in quotas)) or "none yet"
        raise NotFound(f"There is no resource quota called {name}: there are {names}.")

    def add(
        self,
        name: str,
        *,
        cpu_limit: float,
        memory_limit_bytes: int,
        cpu_requested: float = 0.0,
        memory_requested_bytes: int = 0,
    ) -> Quota:
        body = {
            "name": name,
            "cpuRequested": cpu_requested,
            "cpuLimit": cpu_limit,
            "memoryRequestedBytes": memory_requested_bytes,
            "memoryLimitBytes": memory_limit_bytes,
        }

        def find() -> Quota | None:
            return next((quota for quota in self.all() if quota.name == name), None)

        return self.transport.post(_PATH, body, Quota.read, find=find)

    def change(self, name: str, *, is_visible: bool | None = None, is_default: bool | None = None) -> Quota:
        """None: as it is."""
        named = {"isVisible": is_visible, "isDefault": is_default}
        body = {key: value for key, value in named.items() if value is not None}
        return self.transport.repeat("PUT", f"{_PATH}/{self.find(name).id}", Quota.read, body=body)


def _items(answer: Json) -> Json:
    return answer["items"] if isinstance(answer, dict) else answer
