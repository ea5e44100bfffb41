"""This file is model APIs and their versions on the platform: finding, making, starting and stopping them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from modelway.errors import Ambiguous, NotFound
from modelway.records import Json, Model, Version
from modelway.transport import SERVING, Transport

_PATH = f"{SERVING}/modelApis"
_PAGE = 100
_MAX_PATTERN = 200
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


def list_models(
    transport: Transport, *, name: str | None = None, project_id: str | None = None, is_archived: bool = False
) -> Iterator[Model]:
    """The model APIs the caller may see, in use or archived; only those called `name`, where given."""
    pattern = None if name is None else f"^{re.escape(name)}$"
    if pattern is not None and len(pattern) > _MAX_PATTERN:
        pattern = None
    offset = 0
    while True:
        items = transport.get(
            _PATH,
            lambda answer: [Model.read(each) for each in answer["items"]],
            name=pattern,
            projectId=project_id,
            isArchived="true" if is_archived else None,
            limit=_PAGE,
            offset=offset,
        )
        # The pattern only saves time; what "called `name`" means is decided here.
        yield from (each for each in items if each.is_archived == is_archived and name in {None, each.name})
        if len(items) < _PAGE:
            return
        offset += _PAGE


def find_model(transport: Transport, name: str, *, project_id: str | None = None) -> Model | None:
    """The model API called `name`; if several are, the one that belongs to the project. Raises Ambiguous."""
    named = list(list_models(transport, name=name))
    if len(named) > 1 and project_id is not None:
        named = list(list_models(transport, name=name, project_id=project_id)) or named
    if len(named) > 1:
        ids = ", ".join(each.id for each in named)
        raise Ambiguous(f"Several model APIs are called {name}: give one of their ids instead ({ids}).")
    return named[0] if named else None


def read_model(transport: Transport, name: str) -> Model:
    """The model API called `name`, or whose id it is. Raises NotFound, naming those with similar names."""
    found = find_model(transport, name)
    if found is not None:
        return found
    if _OBJECT_ID.fullmatch(name):
        return transport.get(model_path(name), Model.read)
    similar = difflib.get_close_matches(name, [each.name for each in list_models(transport)], n=3)
    hint = f"did you mean {' or '.join(similar)}?" if similar else "`modelway list` shows those there are."
    raise NotFound(f"There is no model API called {name}: {hint}")


def read_archived(transport: Transport, name: str) -> Model:
    """The archived model API called `name`, or whose id it is. Raises NotFound and Ambiguous."""
    if _OBJECT_ID.fullmatch(name):
        return transport.get(model_path(name), Model.read)
    named = list(list_models(transport, name=name, is_archived=True))
    if len(named) > 1:
        raise Ambiguous(
            f"Several archived model APIs are called {name}: give an id ({', '.join(x.id for x in named)})."
        )
    if not named:
        raise NotFound(f"There is no archived model API called {name}: its id leads to it, too.")
    return named[0]


def create_model(transport: Transport, body: Json) -> Model:
    """The new model API, with its first version as the active one."""

    def find() -> Model | None:
        found = find_model(transport, body["name"], project_id=body["version"]["projectId"])
        # One without a version is half made: the same request again, with its key, completes it.
        return found if found is not None and found.active is not None else None

    return transport.post(_PATH, body, Model.read, find=find)


def list_versions(transport: Transport, model_id: str) -> list[Version]:
    """Its versions, newest first."""
    versions = transport.get(f"{_PATH}/{model_id}/versions", lambda answer: [Version.read(each) for each in answer])
    return sorted(versions, key=lambda version: version.number, reverse=True)


def read_version(transport: Transport, model_id: str, version_id: str) -> Version:
    return transport.get(version_path(model_id, version_id), Version.read)


def pick_version(transport: Transport, model: Model, number: int | None) -> Version:
    """Version `number` of the model API, by default the newest one. Raises NotFound."""
    versions = list_versions(transport, model.id)
    picked = [each for each in versions if number in {None, each.number}]
    if not picked:
        wanted = "a version" if number is None else f"a version {number}"
        raise NotFound(f"{model.name} does not have {wanted}: `modelway versions {model.name}` shows them.")
    return picked[0]


def active_version(transport: Transport, model: Model, number: int | None) -> Version:
    """Version `number` of the model API, by default the active one. Raises NotFound."""
    active = model.active if number is None else None
    return active or pick_version(transport, model, number)


def create_version(transport: Transport, model_id: str, body: Json, *, newer_than: int) -> Version:
    """The new version. After a lost answer, one with this content and a number above `newer_than` is it."""

    def find() -> Version | None:
        source = (body["projectId"], body["commitId"], body["source"]["file"], body["source"]["function"])
        made = [
            each
            for each in list_versions(transport, model_id)
            if each.number > newer_than and (each.project_id, each.commit_id, each.file, each.function) == source
        ]
        return made[-1] if made else None

    return transport.post(f"{_PATH}/{model_id}/versions", body, Version.read, find=find)


def set_running(transport: Transport, model_id: str, version_id: str, *, is_running: bool) -> Version:
    path = f"{version_path(model_id, version_id)}/targetState"
    return transport.repeat("PUT", path, Version.read, body={"isRunning": is_running})


def cancel_build(transport: Transport, model_id: str, version_id: str) -> Version:
    return transport.repeat("POST", f"{version_path(model_id, version_id)}/cancelBuild", Version.read, body={})


def default_token(transport: Transport, model: Model) -> str | None:
    """An access token of the model API, the one called "default" if there is; None when it needs none.

    The platform records each showing of a token. Raises NotFound when a restricted model API has no token.
    """
    if not model.is_restricted:
        return None
    path = f"{_PATH}/{model.id}/accessTokens"
    tokens = transport.get(path, lambda answer: [(each["name"] != "default", str(each["id"])) for each in answer])
    if not tokens:
        raise NotFound(f"{model.name} is restricted and has no access token: make one first.")
    return transport.get(f"{path}/{min(tokens)[1]}/secret", lambda answer: str(answer["token"]))


def model_path(model_id: str) -> str:
    return f"{_PATH}/{model_id}"


def version_path(model_id: str, version_id: str) -> str:
    return f"{_PATH}/{model_id}/versions/{version_id}"
