"""This file is the people of the platform, their API keys, and the organisations they collaborate in."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from modelway.errors import Ambiguous, NotFound
from modelway.records import Json, instant
from modelway.transport import SERVING, Transport

T = TypeVar("T")

_PEOPLE = f"{SERVING}/people"
_ORGANISATIONS = f"{SERVING}/organisations"
_PAGE = 500
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True, kw_only=True)
class Person:
    """An account. `has_password` is None where it is none of the caller's business."""

    id: str
    user_name: str
    email: str = ""
    full_name: str = ""
    is_administrator: bool = False
    is_disabled: bool = False
    has_password: bool | None = None

    @classmethod
    def read(cls, answer: Json) -> Person:
        return cls(
            id=str(answer["id"]),
            user_name=str(answer["userName"]),
            email=answer.get("email") or "",
            full_name=answer.get("fullName") or "",
            is_administrator=bool(answer.get("isAdministrator", answer.get("isAdmin"))),
            is_disabled=bool(answer.get("isDisabled")),
            has_password=answer.get("hasPassword"),
        )


@dataclass(frozen=True, kw_only=True)
class Key:
    """An API key. `secret` is there only in the moment in which it was made."""

    id: str
    name: str
    created: datetime | None
    last_used: datetime | None
    secret: str = field(default="", repr=False)

    @classmethod
    def read(cls, answer: Json) -> Key:
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            created=instant(answer.get("created")),
            last_used=instant(answer.get("lastUsed")),
            secret=answer.get("key") or "",
        )


@dataclass(frozen=True, kw_only=True)
class Member:
    """A member of an organisation; its owners say who the members are."""

    id: str
    user_name: str
    is_owner: bool


@dataclass(frozen=True, kw_only=True)
class Organisation:
    """People who collaborate as one. `members` is empty in lists."""

    id: str
    name: str
    member_count: int
    is_member: bool
    members: tuple[Member, ...] = ()

    @classmethod
    def read(cls, answer: Json) -> Organisation:
        return cls(
            id=str(answer["id"]),
            name=str(answer["name"]),
            member_count=int(answer["memberCount"]),
            is_member=bool(answer["isMember"]),
            members=tuple(
                Member(id=str(each["id"]), user_name=str(each["userName"]), is_owner=bool(each["isOwner"]))
                for each in answer.get("members") or ()
            ),
        )


@dataclass(frozen=True)
class People:
    """Named by user name, e-mail address or id. Most of it is for administrators."""

    transport: Transport

    def me(self) -> Person:
        """Whose API key this client has."""
        return self.transport.get(f"{SERVING}/whoami", Person.read)

    def all(self, *, name: str | None = None) -> list[Person]:
        """By user name; only those with `name` in their user name, full name or e-mail address."""
        return _all(self.transport, _PEOPLE, Person.read, name=name)

    def find(self, name: str) -> Person:
        """Raises NotFound."""
        if _OBJECT_ID.fullmatch(name):
            return self.transport.get(f"{_PEOPLE}/{name}", Person.read)
        for person in self.all(name=name):
            if name == person.user_name or (person.email and name.lower() == person.email):
                return person
        raise NotFound(f"There is nobody called {name}: `modelway people list` shows who there is.")

    def add(
        self,
        user_name: str,
        *,
        email: str = "",
        full_name: str = "",
        is_administrator: bool = False,
        password: str | None = None,
    ) -> Person:
        """Without a password the person signs in by OpenID Connect, or once an administrator set one."""
        body = {
            "userName": user_name,
            "email": email,
            "fullName": full_name,
            "isAdministrator": is_administrator,
            "password": password,
        }
        return self.transport.post(_PEOPLE, body, Person.read, find=lambda: None)

    def change(
        self,
        name: str,
        *,
        email: str | None = None,
        full_name: str | None = None,
        is_administrator: bool | None = None,
        is_disabled: bool | None = None,
    ) -> Person:
        """None: as it is. Raises Rejected for administrators who would put themselves out."""
        named = {
            "email": email,
            "fullName": full_name,
            "isAdministrator": is_administrator,
            "isDisabled": is_disabled,
        }
        body = {key: value for key, value in named.items() if value is not None}
        return self.transport.repeat("PUT", f"{_PEOPLE}/{self.find(name).id}", Person.read, body=body)

    def set_password(self, person: Person, password: str, *, current: str | None = None) -> None:
        """`current` is needed of those who set their own. All of the person's browsers are signed out."""
        body = {"password": password, "currentPassword": current}
        self.transport.repeat("PUT", f"{_PEOPLE}/{person.id}/password", _nothing, body=body)

    def sign_out(self, person: Person) -> None:
        """Out of every browser. API keys go on working."""
        self.transport.repeat("DELETE", f"{_PEOPLE}/{person.id}/sessions", _nothing)


@dataclass(frozen=True)
class Keys:
    """API keys, named by name or id: one's own, or for administrators those of `person`."""

    transport: Transport

    def all(self, person: Person | None = None) -> list[Key]:
        """Oldest first."""
        return self.transport.get(self._path(person), lambda answer: [Key.read(each) for each in answer["items"]])

    def create(self, name: str) -> Key:
        """A new key of one's own, with its secret, which nobody can be told again.

        Raises Rejected when an answer was lost on the way: the key is there then, and has to be revoked.
        """
        return self.transport.post(self._path(None), {"name": name}, Key.read, find=lambda: None)

    def revoke(self, name: str, person: Person | None = None) -> Key:
        """The key that opens nothing any more. Raises NotFound, and Ambiguous when several have this name."""
        found = [key for key in self.all(person) if name in {key.id, key.name}]
        if not found:
            raise NotFound(f"There is no API key called {name}: `modelway keys list` shows those there are.")
        if len(found) > 1:
            ids = ", ".join(key.id for key in found)
            raise Ambiguous(f"Several API keys are called {name}: give one of their ids instead ({ids}).")
        self.transport.repeat("DELETE", f"{self._path(person)}/{found[0].id}", _nothing)
        return found[0]

    def _path(self, person: Person | None) -> str:
        owner = person or People(self.transport).me()
        return f"{_PEOPLE}/{owner.id}/apiKeys"


@dataclass(frozen=True)
class Organisations:
    """Named by name or id."""

    transport: Transport

    def all(self, *, name: str | None = None) -> list[Organisation]:
        """By name; only those with `name` in theirs."""
        return _all(self.transport, _ORGANISATIONS, Organisation.read, name=name)

    def find(self, name: str) -> Organisation:
        """With its members. Raises NotFound."""
        found = next((each for each in self.all(name=name) if each.name == name), None)
        if found is None and not _OBJECT_ID.fullmatch(name):
            raise NotFound(f"There is no organisation called {name}: `modelway organisations list` shows those.")
        return self.transport.get(f"{_ORGANISATIONS}/{name if found is None else found.id}", Organisation.read)

    def create(self, name: str) -> Organisation:
        """The caller is its first member and owner."""
        return self.transport.post(_ORGANISATIONS, {"name": name}, Organisation.read, find=lambda: None)

    def add(self, name: str, person: Person, *, is_owner: bool = False) -> Organisation:
        """Also of a member: makes an owner of them, or a mere member again."""
        path = f"{_ORGANISATIONS}/{self.find(name).id}/members/{person.id}"
        return self.transport.repeat("PUT", path, Organisation.read, body={"isOwner": is_owner})

    def remove(self, name: str, person: Person) -> Organisation:
        """Raises Rejected for the last owner, NotFound for who is no member."""
        path = f"{_ORGANISATIONS}/{self.find(name).id}/members/{person.id}"
        return self.transport.repeat("DELETE", path, Organisation.read)


def _all(transport: Transport, path: str, read: Callable[[Json], T], *, name: str | None) -> list[T]:
    found: list[T] = []
    while True:
        page = transport.get(path, lambda answer: answer["items"], name=name, limit=_PAGE, offset=len(found))
        found += [read(each) for each in page]
        if len(page) < _PAGE:
            return found


def _nothing(_: Json) -> None:
    return None
