"""This file is one model as its owner has it: published, changed and watched through the HTTP API only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.e2e.platform import Platform
from tests.parts import wait_for

V1 = "/api/modelServing/v1"
RUNNING, STOPPED, FAILED, STALLED, UNREACHABLE = "Running", "Stopped", "Failed", "Stalled", "Unreachable"
SOON_S = 60.0


def ok(answer: httpx.Response) -> Any:
    """What was answered, which is to be a success."""
    assert answer.status_code < 300, f"{answer.request.method} {answer.request.url}: {answer.text}"
    return answer.json() if answer.content else None


@dataclass
class Model:
    """`versions` are the ids of those that this test published, by their numbers."""

    http: httpx.Client
    project_id: str
    urls: Sequence[str]  # of each router
    id: str = ""
    token: str = field(default="", repr=False)
    versions: dict[int, str] = field(default_factory=dict)
    parameters: tuple[Any, ...] = (1,)  # that every version answers at once

    @property
    def at(self) -> str:
        return f"{V1}/modelApis/{self.id}"

    def version_at(self, number: int) -> str:
        return f"{self.at}/versions/{self.versions[number]}"

    def endpoint(self, label: str = "latest", router: int = 0) -> str:
        place = label if label == "latest" else f"labels/{label}"
        return f"{self.urls[router]}/models/{self.id}/{place}/model"

    @property
    def body(self) -> dict[str, object]:
        return {"parameters": list(self.parameters)}

    def call(
        self, *parameters: Any, label: str = "latest", router: int = 0, token: str = "", timeout_s: float = 60
    ) -> httpx.Response:
        token = token or self.token
        body = {"parameters": list(parameters)} if parameters else self.body
        return httpx.post(self.endpoint(label, router), json=body, auth=(token, token), timeout=timeout_s)

    def publish(self, script: str, **fields: Any) -> int:
        """The number of a new version, which is on its way."""
        commit = self._commit(script)
        body = {"projectId": self.project_id, "commitId": commit, "source": _SOURCE, **_PLAIN, **fields}
        made = ok(self.http.post(f"{self.at}/versions", json=body))
        self.versions[made["number"]] = made["id"]
        return int(made["number"])

    def create(self, script: str, **settings: Any) -> int:
        """The model itself, with its first version."""
        version = {"projectId": self.project_id, "commitId": self._commit(script), "source": _SOURCE, **_PLAIN}
        body = {
            "name": f"model-{time.time_ns()}",
            "description": "",
            "environmentId": "",
            "environmentVariables": [],
            "isAsync": False,
            "strictNodeAntiAffinity": False,
            **settings,
            "version": {**version, **settings.get("version", {})},
        }
        made = ok(self.http.post(f"{V1}/modelApis", json=body))
        self.id = made["id"]
        self.versions[1] = made["activeVersion"]["id"]
        [token] = ok(self.http.get(f"{self.at}/accessTokens"))
        self.token = ok(self.http.get(f"{self.at}/accessTokens/{token['id']}/secret"))["token"]
        return 1

    def deployment(self, number: int) -> dict[str, Any]:
        shown: dict[str, Any] = ok(self.http.get(self.version_at(number)))["deployment"]
        return shown

    def until(self, number: int, *statuses: str, within_s: float = SOON_S) -> dict[str, Any]:
        """The deployment of a version once its status is one of `statuses`."""
        shown: dict[str, Any] = {}

        def is_there() -> bool:
            shown.update(self.deployment(number))
            return shown["status"] in statuses

        wait_for(is_there, within_s, what=f"version {number} is one of {statuses}")
        return shown

    def until_whole(self, number: int, instances: int | None = None, *, within_s: float = SOON_S) -> None:
        """Return once a version runs, with every instance it should have and nothing under way."""

        def is_whole() -> bool:
            shown = self.deployment(number)
            found = shown["instances"]
            is_right = found["ready"] == found["wanted"] and found["wanted"] in (instances, found["wanted"])
            return shown["status"] == RUNNING and not shown["isPending"] and is_right

        wait_for(is_whole, within_s, what=f"version {number} is whole")

    def until_answers(self, number: int, label: str = "latest", *, within_s: float = SOON_S) -> None:
        """Return once `number` answers the calls of `label` at every router."""

        def is_answering() -> bool:
            answers = [self.call(label=label, router=router) for router in range(len(self.urls))]
            return all(_answered_by(each) == number for each in answers)

        wait_for(is_answering, within_s, what=f"version {number} answers {label} everywhere")

    def change(self, **settings: Any) -> dict[str, Any]:
        """The settings, once they are as asked for."""
        changed: dict[str, Any] = ok(self.http.put(f"{self.at}/settings", json=settings))
        return changed

    def set_running(self, number: int, *, is_running: bool) -> None:
        ok(self.http.put(f"{self.version_at(number)}/targetState", json={"isRunning": is_running}))

    def promote(self, number: int) -> None:
        ok(self.http.put(f"{self.version_at(number)}/productionLabel", json={"isProd": True}))

    def roll_back(self, label: str) -> None:
        ok(self.http.post(f"{self.at}/rollback", json={"label": label}))

    def set_canary(self, label: str, number: int, share: float) -> None:
        body = {"versionId": self.versions[number], "share": share}
        ok(self.http.put(f"{self.at}/canaries/{label}", json=body))

    def complete_canary(self, label: str) -> None:
        ok(self.http.post(f"{self.at}/canaries/{label}/complete", json={}))

    def labels(self) -> dict[str, str]:
        """Label -> the id of the version it leads to."""
        shown: dict[str, str] = ok(self.http.get(self.at))["labels"]
        return shown

    def rollouts(self) -> list[dict[str, Any]]:
        """The receipts of switches and restarts, newest first."""
        shown: list[dict[str, Any]] = ok(self.http.get(f"{self.at}/rollouts"))
        return shown

    def number_of(self, label: str) -> int:
        """Of the version that `label` leads to."""
        version_id = self.labels()[label]
        return next(number for number, each in self.versions.items() if each == version_id)

    def new_token(self, name: str) -> tuple[str, str]:
        """The id and the secret of another access token."""
        made = ok(self.http.post(f"{self.at}/accessTokens", json={"name": name}))
        return made["id"], made["token"]

    def revoke(self, token_id: str) -> None:
        ok(self.http.delete(f"{self.at}/accessTokens/{token_id}"))

    def archive(self) -> None:
        ok(self.http.delete(self.at))

    def _commit(self, script: str) -> str:
        """Of the project with `script` as its only file."""
        content = script.encode()
        digest = hashlib.sha256(content).hexdigest()
        files = [{"path": "predict.py", "sizeBytes": len(content), "sha256": digest}]
        ok(self.http.put(f"{V1}/projects/{self.project_id}/blobs/{digest}", content=content))
        return str(ok(self.http.post(f"{V1}/projects/{self.project_id}/snapshots", json={"files": files}))["commitId"])


def _answered_by(answer: httpx.Response) -> int:
    return int(answer.json()["release"]["model_version_number"]) if answer.status_code == 200 else 0


_SOURCE = {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []}
_PLAIN = {"logHttpRequestResponse": False, "monitoringEnabled": False}


@contextmanager
def model_of(
    platform: Platform, script: str, *, parameters: tuple[Any, ...] = (1,), **settings: Any
) -> Iterator[Model]:
    """A model with one version that runs and takes traffic at every router; archived afterwards."""
    with platform.http() as http:
        project = ok(http.post("/v4/projects", json={"name": f"project-{time.time_ns()}"}))["id"]
        model = Model(http, project, platform.urls, parameters=parameters)
        model.create(script, **settings)
        try:
            model.until_whole(1)
            model.until_answers(1)
            yield model
        finally:
            model.archive()
