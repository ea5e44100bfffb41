"""Every route, for every role, on things of every visibility: who is let in, who is refused, and who sees nothing."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from services.api.http.app import routes
from tests.services.api.http.cast import ROLES, Cast, Stage
from tests.services.api.http.client import Answer, Client
from tests.services.api.http.expected import EXPECTED, WHO_SEES, Row

pytestmark = pytest.mark.asyncio(loop_scope="module")

HARMLESS = {"Idempotency-Key": "x" * 300}  # what is let in is refused for that, before it changes anything
BROKEN = b"{"  # likewise, by whoever reads a body
BODIES_NAME_IT = ("/modelApis", "/v1/models", "/buildModelImage")
ASK_THEMSELVES = (*BODIES_NAME_IT, "/apiKeys")  # behind where the header is refused
NOWHERE = (502, 503)  # what a model's own answer is where no router is

IN_MODELS_AND_PROJECTS = [role for role in ROLES if role not in ("head", "keeper", "somebody")]
ELSEWHERE = ["nobody", "disabled", "stranger", "member", "head", "keeper", "somebody", "administrator"]


async def test_every_route_is_in_the_table_and_nothing_else(stage: Stage) -> None:
    there = {(route.method, route.path) for route in routes(stage.deps)}
    assert there - EXPECTED.keys() == set(), "say in expected.py who is let in here"
    assert EXPECTED.keys() - there == set(), "these are no routes any more"


@pytest.mark.parametrize(("method", "path"), list(EXPECTED), ids=[" ".join(route) for route in EXPECTED])
async def test_a_route_lets_in_whom_the_table_names_and_nobody_else(stage: Stage, method: str, path: str) -> None:
    row = EXPECTED[method, path]
    roles = IN_MODELS_AND_PROJECTS if row.kind in ("model", "project") else ELSEWHERE
    for visibility in row.let_in:
        asked = Asked(stage.cast, row, visibility)
        answers = await asyncio.gather(*(asked.by(stage.client, role, method, path) for role in roles))
        outcomes = {role: outcome(given) for role, given in zip(roles, answers, strict=True)}
        assert outcomes == {role: expected(row, visibility, role) for role in roles}, f"{row.kind} {visibility}"


class Asked:
    """Requests about one thing. Those that are let in change nothing: what they send will not do."""

    def __init__(self, cast: Cast, row: Row, visibility: str) -> None:
        self._cast = cast
        self._row = row
        self._visibility = visibility

    async def by(self, client: Client, role: str, method: str, path: str) -> Answer:
        caller = client.as_holder_of(self._cast.key(role))
        params, body = self._params(path), self._body(path) if method == "POST" else None
        data = BROKEN if body is None and method != "GET" else None
        headers = {} if method == "GET" or path.endswith(ASK_THEMSELVES) else HARMLESS
        return await caller(method, self._filled(path), body, data=data, params=params, headers=headers)

    def _filled(self, path: str) -> str:
        names = self._named(has_owner="{owner}" in path)
        return re.sub(r"\{(\w+)[^}]*\}", lambda part: names.get(part[1], "f" * 24), path)

    def _named(self, *, has_owner: bool) -> dict[str, str]:
        names = {
            "person": self._cast.people["somebody"],
            "organisation": self._cast.organisation,
            "path": "predict.py",
        }
        if self._row.kind == "model":
            model = self._cast.models[self._visibility]
            names |= {"model": model.id, "version": model.versions[0].id}
        if self._row.kind == "project":
            project = self._cast.projects[self._visibility]
            names |= {"owner": project.owner_name, "projectName": project.name, "tag": project.tags[0].id}
            names |= {"project": project.name if has_owner else project.id, "commit": project.snapshots[0].commit_id}
        if self._row.kind == "environment":
            names["environment"] = self._cast.environments[self._visibility]
        return names

    def _params(self, path: str) -> dict[str, str]:
        """Where the query names the thing."""
        if path.endswith(("/audit", "/audit/as-of")):
            return {"modelId": self._cast.models[self._visibility].id, "time": "0"}
        if path.endswith("/findProjectByOwnerAndName"):
            project = self._cast.projects[self._visibility]
            return {"ownerName": project.owner_name, "projectName": project.name}
        if path.endswith("/getModels"):
            return {"projectId": self._cast.projects[self._visibility].id}
        return {}

    def _body(self, path: str) -> Any:
        """Where the body names it. No model is called so."""
        if not path.endswith(BODIES_NAME_IT):
            return None
        project = self._cast.projects[self._visibility].id
        at_once = {"projectId": project, "file": "predict.py", "function": "predict"}
        return {"name": "", "modelName": "", "version": {"projectId": project}, **at_once}


def outcome(answer: Answer) -> str:
    """`let in`, or why not."""
    assert answer.status < 500 or answer.status in NOWHERE, answer.raw
    if answer.status in (401, 403):
        return {401: "unknown", 403: "refused"}[answer.status]
    is_hidden = answer.status == 404 and re.match("there is no (model|project|environment|tag) ", answer.fault)
    return "hidden" if is_hidden else "let in"


def expected(row: Row, visibility: str, role: str) -> str:
    if role in row.let_in[visibility]:
        return "let in"
    if role in ("nobody", "disabled"):
        return "unknown"
    return "refused" if role in WHO_SEES[row.kind][visibility] else "hidden"
