"""This file is who may reach a model API: its owner, its collaborators, who finds it, and if calls need a token."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from modelway.models import model_path, read_model
from modelway.records import Json
from modelway.transport import Transport

VIEWER, EDITOR, OWNER = ROLES = ("Viewer", "Editor", "Owner")


@dataclass(frozen=True, kw_only=True)
class Collaborator:
    """A person, or an organisation of which each member has the role. `is_owner`: the one who owns the model API."""

    id: str
    name: str
    kind: str
    role: str
    is_owner: bool = False

    @classmethod
    def read(cls, answer: Json) -> Collaborator:
        return cls(
            id=str(answer["collaborator"]),
            name=str(answer.get("name") or answer["collaborator"]),
            kind=str(answer.get("kind") or "person"),
            role=str(answer["role"]),
            is_owner=bool(answer.get("isOwner")),
        )


@dataclass(frozen=True, kw_only=True)
class Shared:
    """How a model API is shared. `collaborators` has its owner first, who goes by an id there."""

    model_id: str
    name: str
    is_public: bool
    is_restricted: bool
    collaborators: tuple[Collaborator, ...]

    @classmethod
    def read(cls, answer: Json) -> Shared:
        return cls(
            model_id=str(answer["id"]),
            name=str(answer["name"]),
            is_public=bool(answer["access"]["isPublic"]),
            is_restricted=bool(answer["isRestricted"]),
            collaborators=tuple(Collaborator.read(each) for each in answer["collaborators"]),
        )


@dataclass(frozen=True)
class Sharing:
    """The people around model APIs, which are named by name or id.

    People are named by user name, e-mail address or id, organisations by name or id.
    """

    transport: Transport

    def collaborators(self, name: str) -> list[Collaborator]:
        """The owner first."""
        path = f"{self._path(name)}/collaborators"
        return self.transport.get(path, lambda answer: [Collaborator.read(each) for each in answer])

    def share(self, name: str, who: str, role: str) -> Shared:
        """`who` has this role from here on, whatever they had."""
        return self._put(name, "collaborators", {"collaborator": who, "role": role})

    def unshare(self, name: str, who: str) -> Shared:
        path = f"{self._path(name)}/collaborators/{quote(who, safe='')}"
        return self.transport.repeat("DELETE", path, Shared.read)

    def leave(self, name: str) -> None:
        """The caller gives up their own role."""
        self.transport.repeat("POST", f"{self._path(name)}/leave", lambda _: None)

    def set_visibility(self, name: str, *, is_public: bool) -> Shared:
        """Public: anyone with an account finds and views it; private: collaborators only."""
        return self._put(name, "visibility", {"isPublic": is_public})

    def set_restriction(self, name: str, *, is_restricted: bool) -> Shared:
        """Restricted: a call needs an access token."""
        return self._put(name, "restriction", {"isRestricted": is_restricted})

    def transfer(self, name: str, owner: str) -> Shared:
        """The owner so far stays as an Editor."""
        return self._put(name, "owner", {"owner": owner})

    def _put(self, name: str, what: str, body: Json) -> Shared:
        return self.transport.repeat("PUT", f"{self._path(name)}/{what}", Shared.read, body=body)

    def _path(self, name: str) -> str:
        return model_path(read_model(self.transport, name).id)
