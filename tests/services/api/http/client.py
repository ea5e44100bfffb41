"""This file is a client of the api for tests, with the steps that many of them begin with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import ClientSession
from multidict import CIMultiDictProxy

V1 = "/api/modelServing/v1"
CODE = b"def predict(x):\n    return x\n"


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: CIMultiDictProxy[str]
    raw: bytes

    @property
    def body(self) -> Any:
        return msgspec.json.decode(self.raw)

    @property
    def fault(self) -> str:
        """The one sentence of an error, in whichever of the two shapes its status has."""
        body = self.body
        if "errors" in body:
            assert body["requestId"] == self.headers["X-Request-Id"]
            return str(body["errors"][0])
        assert set(body) == {"error"}
        return str(body["error"])


class Client:
    """One person's way to the api. `key` None: a stranger's."""

    def __init__(self, session: ClientSession, key: str | None) -> None:
        self.session = session
        self._key = key

    def as_holder_of(self, key: str | None) -> Client:
        return Client(self.session, key)

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {**({} if self._key is None else {"X-Domino-Api-Key": self._key}), **(headers or {})}
        async with self.session.request(
            method, path, json=body, data=data, params=params, headers=sent, allow_redirects=False
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ok(self, method: str, path: str, body: Any = None, **others: Any) -> Any:
        """The body of an answer that has to be a success."""
        answer = await self(method, path, body, **others)
        assert 200 <= answer.status < 300, (answer.status, answer.raw)
        return answer.body if answer.raw else None

    async def project(self, name: str = "iris") -> str:
        return str((await self.ok("POST", "/v4/projects", {"name": name}))["id"])

    async def upload(self, project: str, files: Mapping[str, bytes]) -> Any:
        """The commit of these files, uploaded as a client does it."""
        manifest = {"files": [file(path, content) for path, content in files.items()]}
        at = f"{V1}/projects/{project}"
        missing = (await self.ok("POST", f"{at}/missingBlobs", manifest))["missing"]
        for content in files.values():
            if digest(content) in missing:
                await self.ok("PUT", f"{at}/blobs/{digest(content)}", data=content)
        return await self.ok("POST", f"{at}/snapshots", manifest)

    async def project_with_code(self, name: str = "iris") -> str:
        project = await self.project(name)
        await self.upload(project, {"predict.py": CODE})
        return project

    async def model(self, project: str | None = None, **changes: Any) -> Any:
        project = project or await self.project_with_code()
        return await self.ok("POST", f"{V1}/modelApis", model_body(project, **changes))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file(path: str, content: bytes, mode: int = 0o644) -> dict[str, Any]:
    return {"path": path, "mode": mode, "sizeBytes": len(content), "sha256": digest(content)}


def model_body(project: str, **changes: Any) -> dict[str, Any]:
    """What the contract asks for to create a model, and no more."""
    return {
        "name": "iris",
        "description": "which iris it is",
        "environmentId": "",
        "environmentVariables": [],
        "isAsync": False,
        "strictNodeAntiAffinity": False,
        "version": {
            "projectId": project,
            "source": {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []},
            "logHttpRequestResponse": False,
            "monitoringEnabled": False,
        },
        **changes,
    }
