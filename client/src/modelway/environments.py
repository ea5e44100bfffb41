"""This file is how requirements become an environment on the platform."""

from __future__ import annotations

from modelway.errors import Rejected
from modelway.records import Environment
from modelway.transport import Transport

_PATH = "/api/environments/beta/environments"


def find_environment(transport: Transport, name: str) -> Environment | None:
    """The environment called `name`, with its newest revision."""
    listed = transport.get(
        "/v1/environments", lambda answer: [(str(each["id"]), each["name"]) for each in answer["data"]]
    )
    ids = [id for id, each in listed if each == name]
    return read_environment(transport, ids[0]) if ids else None


def read_environment(transport: Transport, environment_id: str) -> Environment:
    return transport.get(f"/api/environments/v1/environments/{environment_id}", Environment.read)


def ensure_environment(transport: Transport, name: str, requirements: str) -> Environment:
    """The environment `name` whose newest revision has just these requirements: found, revised or created."""
    found = find_environment(transport, name)
    if found is None:
        found = _create(transport, name, requirements)
    if found.requirements == requirements:
        return found
    return _revise(transport, found, requirements)


def _create(transport: Transport, name: str, requirements: str) -> Environment:
    def find() -> Environment | None:
        return find_environment(transport, name)

    body = {"name": name, "requirements": requirements}
    try:
        return transport.post(_PATH, body, Environment.read, find=find)
    except Rejected:
        found = find()  # somebody may have created it since we looked
        if found is None:
            raise
        return found


def _revise(transport: Transport, environment: Environment, requirements: str) -> Environment:
    def find() -> Environment | None:
        now = read_environment(transport, environment.id)
        return now if now.requirements == requirements else None

    body = {"requirements": requirements}
    return transport.post(f"{_PATH}/{environment.id}/revisions", body, Environment.read, find=find)
