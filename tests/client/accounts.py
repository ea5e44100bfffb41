"""This file is the stand-in's people: accounts, API keys and organisations, to the contract's shapes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests.client.wire import Answer, Asked, Refusal

Json = Any
ANN = "0" * 23 + "a"
SECRET = "S3cret" * 10 + "abcd"


class Accounts:
    """State and routes. The caller is ann, an administrator."""

    def __init__(self, ids: itertools.count[int]) -> None:
        self._ids = ids
        self.people: dict[str, Json] = {}
        self.passwords: dict[str, str] = {}
        self.keys: dict[str, list[Json]] = {}
        self.organisations: dict[str, Json] = {}
        self.signed_out: list[str] = []
        self.add({"userName": "ann", "isAdministrator": True}, id=ANN)

    def routes(self, serving: str) -> list[tuple[str, str, Callable[..., Answer]]]:
        person = rf"{serving}/people/(\w+)"
        organisation = rf"{serving}/organisations/(\w+)"
        return [
            ("GET", f"{serving}/people", self._list_people),
            ("POST", f"{serving}/people", lambda asked: (201, self.add(asked.json))),
            ("GET", person, lambda _, id: (200, self._person(id))),
            ("PUT", person, self._change),
            ("PUT", f"{person}/password", self._set_password),
            ("DELETE", f"{person}/sessions", self._sign_out),
            ("GET", f"{person}/apiKeys", lambda _, id: (200, {"items": self.keys[id]})),
            ("POST", f"{person}/apiKeys", self._create_key),
            ("DELETE", rf"{person}/apiKeys/(\w+)", self._revoke_key),
            ("GET", f"{serving}/organisations", self._list_organisations),
            ("POST", f"{serving}/organisations", self._create_organisation),
            ("GET", organisation, lambda _, id: (200, self.organisations[id])),
            ("PUT", rf"{organisation}/members/(\w+)", self._set_member),
            ("DELETE", rf"{organisation}/members/(\w+)", self._remove_member),
        ]

    def add(self, fields: Json, *, id: str = "") -> Json:
        id = id or self._new_id()
        new = {"email": "", "fullName": "", "isAdministrator": False, "isDisabled": False}
        password = fields.get("password")
        shown = {key: value for key, value in fields.items() if key != "password"}
        self.people[id] = {**new, **shown, "id": id, "hasPassword": password is not None}
        self.keys[id] = []
        if password is not None:
            self.passwords[id] = password
        return self.people[id]

    def named(self, user_name: str) -> Json:
        return next(each for each in self.people.values() if each["userName"] == user_name)

    def _new_id(self) -> str:
        return f"{next(self._ids):024x}"

    def _person(self, id: str) -> Json:
        if id not in self.people:
            raise Refusal(404, {"error": f"there is no person {id}"})
        return self.people[id]

    def _list_people(self, asked: Asked) -> Answer:
        sought = asked.query.get("name", "").lower()
        fields = ("userName", "email", "fullName")
        return self._page(asked, [p for p in self.people.values() if any(sought in p[f].lower() for f in fields)])

    def _page(self, asked: Asked, found: list[Json]) -> Answer:
        offset = int(asked.query["offset"])
        return 200, {"items": found[offset : offset + int(asked.query["limit"])], "totalCount": len(found)}

    def _change(self, asked: Asked, id: str) -> Answer:
        self._person(id).update(asked.json)
        return 200, self._person(id)

    def _set_password(self, asked: Asked, id: str) -> Answer:
        if self._person(id)["userName"] == "ann" and asked.json["currentPassword"] != self.passwords.get(id):
            raise Refusal(400, {"error": "currentPassword is not the password of this account"})
        self.passwords[id] = asked.json["password"]
        return 204, None

    def _sign_out(self, asked: Asked, id: str) -> Answer:
        self.signed_out.append(self._person(id)["userName"])
        return 204, None

    def _create_key(self, asked: Asked, id: str) -> Answer:
        sent = asked.headers["Idempotency-Key"]
        if any(each["sent"] == sent for each in self.keys[id]):
            raise Refusal(422, {"requestId": "r", "errors": ["this request made the API key before"]})
        key = {"id": self._new_id(), "name": asked.json["name"], "created": 0, "lastUsed": None, "sent": sent}
        self.keys[id].append(key)
        return 201, {**key, "key": SECRET}

    def _revoke_key(self, asked: Asked, id: str, key_id: str) -> Answer:
        self.keys[id] = [each for each in self.keys[id] if each["id"] != key_id]
        return 204, None

    def _list_organisations(self, asked: Asked) -> Answer:
        sought = asked.query.get("name", "").lower()
        return self._page(asked, [each for each in self.organisations.values() if sought in each["name"].lower()])

    def _create_organisation(self, asked: Asked) -> Answer:
        id = self._new_id()
        self.organisations[id] = {"id": id, "name": asked.json["name"], "members": []}
        self._set(id, ANN, is_owner=True)
        return 201, self.organisations[id]

    def _set_member(self, asked: Asked, id: str, person: str) -> Answer:
        self._set(id, person, is_owner=asked.json["isOwner"])
        return 200, self.organisations[id]

    def _remove_member(self, asked: Asked, id: str, person: str) -> Answer:
        if all(each["id"] != person for each in self.organisations[id]["members"]):
            raise Refusal(404, {"error": "there is no such member"})
        self._set(id, person, is_owner=None)
        return 200, self.organisations[id]

    def _set(self, id: str, person: str, *, is_owner: bool | None) -> None:
        organisation = self.organisations[id]
        members = [each for each in organisation["members"] if each["id"] != person]
        if is_owner is not None:
            members.append({"id": person, "userName": self._person(person)["userName"], "isOwner": is_owner})
        organisation.update(members=members, memberCount=len(members), isMember=True)
