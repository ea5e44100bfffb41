"""This file is a small platform for the client's tests: it keeps to the HTTP contract and remembers what was asked."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.client.accounts import ANN, Accounts
from tests.client.people import People
from tests.client.serving import ALL, Serving
from tests.client.wire import Answer, Asked, Raw, Refusal

API_KEY = "key-of-the-owner-0123456789"
TOKEN = "T0ken" * 12 + "abcd"
SERVING = "/api/modelServing/v1"
RUNNING = ("Running", False, "", ALL)

Json = Any
Step = tuple[str, bool, str, int]  # status, is pending, reason, instances ready


@dataclass(kw_only=True)
class Story:
    """What will become of a version: each look at it is one step further, the last step stays."""

    steps: list[Step] = field(default_factory=lambda: [("Building", True, "", 0), ("Starting", True, "", 1), RUNNING])
    build_log: list[str] = field(default_factory=lambda: ["Resolving", "Installing"])
    instance_log: list[str] = field(default_factory=list)
    deployment_log: list[str] = field(default_factory=list)


FAILED_BUILD = Story(
    steps=[("Building", True, "", 0), ("Failed", False, "No file wrong.py in the project", 0)],
    build_log=["Unpacking", "wrong.py is not there"],
)
FAILED_START = Story(
    steps=[("Building", True, "", 0), ("Failed", False, "ValueError at import of model.py", 0)],
    instance_log=["Traceback (most recent call last):", "ValueError: no"],
    deployment_log=["Five exits before first ready"],
)


class StandIn:
    """The state, and a route for each request. `story` is for versions published from now on."""

    def __init__(self) -> None:
        self.url = ""
        self.story = Story()
        self.projects: dict[str, Json] = {}
        self.blobs: dict[str, bytes] = {}
        self.snapshots: list[Json] = []
        self.environments: dict[str, Json] = {}
        self.models: dict[str, Json] = {}
        self.versions: dict[str, list[Json]] = {}  # by model, oldest first
        self.stories: dict[str, Story] = {}
        self.platform: Json = {
            "services": [{"service": "api", "id": "api-1", "lastSeen": 1e12, "startedAt": 1e12, "isAlive": True}],
            "database": "ok",
            "bus": "ok",
            "routers": [{"id": "router-1", "rejected": ""}],
        }
        self.model_answer: Callable[[Json], tuple[int, Json]] = lambda body: (200, {"result": body})
        self.log_page_size = 1000
        self.history: list[Json] = []  # newest first
        self.moment: list[Json] = []
        self.findings: list[Json] = []
        self.unwitnessed_because = ""
        self.calls: list[Json] = []
        count = itertools.count(1)
        self._ids = (f"{number:024x}" for number in count)
        self.accounts = Accounts(count)
        self.people = People(self)
        self.serving = Serving(count, lambda id, steps: self.tell(id, Story(steps=steps)), self._status)

    def answer(self, asked: Asked) -> Answer:
        if found := re.fullmatch(r"/models/(\w+)/(?:latest|labels/(prod))/model", asked.path):
            return self._predict(asked, found[1], found[2] or "latest")
        if asked.path != "/version" and asked.headers.get("X-Domino-Api-Key") != API_KEY:
            raise Refusal(401, {"requestId": "r", "errors": ["not accepted"]})
        for method, pattern, handle in self._routes():
            found = re.fullmatch(pattern, asked.path)
            if found and method == asked.method:
                return handle(asked, *found.groups())
        raise Refusal(404, {"error": f"nothing at {asked.path}"})

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        project, model = rf"{SERVING}/projects/(\w+)", rf"{SERVING}/modelApis/(\w+)"
        version = rf"{model}/versions/(\w+)"
        return [
            *self.people.routes(SERVING),
            ("GET", "/version", lambda _: (200, {"version": "5.11.0", "modelway": "0.1.0"})),
            ("GET", f"{SERVING}/whoami", lambda _: (200, {"id": ANN, "userName": "ann", "isAdmin": True})),
            ("GET", f"{SERVING}/platform", lambda _: (200, self.platform)),
            ("GET", "/v4/gateway/projects/findProjectByOwnerAndName", self._find_project),
            ("POST", "/v4/projects", self._create_project),
            ("POST", f"{project}/missingBlobs", self._missing),
            ("PUT", rf"{project}/blobs/(\w+)", self._put_blob),
            ("POST", f"{project}/snapshots", self._commit),
            ("GET", "/v1/environments", lambda _: (200, {"data": list(self.environments.values())})),
            ("POST", "/api/environments/beta/environments", self._create_environment),
            ("GET", r"/api/environments/v1/environments/(\w+)", lambda _, id: (200, self.environments[id])),
            ("POST", r"/api/environments/beta/environments/(\w+)/revisions", self._revise),
            ("GET", f"{SERVING}/modelApis", self._list_models),
            ("POST", f"{SERVING}/modelApis", self._create_model),
            ("GET", model, self._get_model),
            ("DELETE", model, self._archive),
            ("POST", f"{model}/restore", self._restore),
            ("GET", f"{model}/versions", lambda _, id: (200, [self._shown(id, each) for each in self.versions[id]])),
            ("POST", f"{model}/versions", self._create_version),
            ("GET", version, self._look),
            ("PUT", f"{version}/targetState", self._set_target),
            ("POST", f"{version}/cancelBuild", self._cancel_build),
            ("GET", rf"{version}/(\w+)Logs", self._log),
            ("GET", f"{model}/accessTokens", lambda _, id: (200, [{"id": "t1", "name": "default"}])),
            ("GET", f"{model}/accessTokens/t1/secret", lambda _, id: (200, {"token": TOKEN})),
            ("GET", f"{SERVING}/audit", self._audit),
            ("GET", f"{SERVING}/audit/as-of", lambda _: (200, {"time": 0, "items": self.moment})),
            ("GET", rf"{model}/calls/(\w+)", self._calls),
            ("GET", f"{SERVING}/audit/verification", lambda _: (200, self._verification())),
            *self.serving.routes(SERVING),
            *self.accounts.routes(SERVING),
        ]

    def _audit(self, asked: Asked) -> Answer:
        if asked.headers.get("Accept") == "application/x-ndjson":
            return 200, Raw("".join(json.dumps(each) + "\n" for each in self.history).encode())
        begin = int(asked.query.get("cursor", "0"))
        end = begin + int(asked.query["limit"])
        cursor = str(end) if end < len(self.history) else None
        return 200, {"items": self.history[begin:end], "nextCursor": cursor}

    def _verification(self) -> Json:
        counts = {"aggregates": 1, "events": 12, "checkpoints": 2, "ahead": 0, "witnessed": 2}
        return {**counts, "unwitnessedBecause": self.unwitnessed_because, "findings": self.findings}

    def _calls(self, asked: Asked, model: str, request_id: str) -> Answer:
        found = [each for each in self.calls if each["requestId"] == request_id]
        if not found:
            raise Refusal(404, {"error": f"there is no record of a call {request_id}"})
        return 200, {"items": found, "keptForDays": 7}

    def _find_project(self, asked: Asked) -> Answer:
        for project in self.projects.values():
            if (project["ownerName"], project["name"]) == (asked.query["ownerName"], asked.query["projectName"]):
                return 200, project
        raise Refusal(404, {"error": "There is no such project"})

    def _create_project(self, asked: Asked) -> Answer:
        if any(project["name"] == asked.json["name"] for project in self.projects.values()):
            raise Refusal(400, {"error": "The name is taken"})
        project = {"id": next(self._ids), "name": asked.json["name"], "ownerName": "ann"}
        self.projects[project["id"]] = project
        return 200, project

    def _missing(self, asked: Asked, project_id: str) -> Answer:
        digests = {file["sha256"] for file in asked.json["files"]}
        return 200, {"missing": sorted(digests - set(self.blobs))}

    def _put_blob(self, asked: Asked, project_id: str, digest: str) -> Answer:
        if hashlib.sha256(asked.body).hexdigest() != digest:
            raise Refusal(400, {"error": "The digest differs"})
        self.blobs[digest] = asked.body
        return 204, None

    def _commit(self, asked: Asked, project_id: str) -> Answer:
        files = asked.json["files"]
        if self.snapshots and self.snapshots[-1]["files"] == files:
            return 200, {"commitId": self.snapshots[-1]["commitId"]}
        self.snapshots.append({"commitId": next(self._ids), "files": files})
        return 201, {"commitId": self.snapshots[-1]["commitId"]}

    def _create_environment(self, asked: Asked) -> Answer:
        id = next(self._ids)
        self.environments[id] = {"id": id, "name": asked.json["name"], "visibility": "Private"}
        return self._revise(asked, id)

    def _revise(self, asked: Asked, environment_id: str) -> Answer:
        environment = self.environments[environment_id]
        number = environment.get("latestRevision", {"number": 0})["number"] + 1
        revision = {"id": next(self._ids), "number": number, "requirements": asked.json["requirements"]}
        environment["latestRevision"] = revision
        return 201, environment

    def _list_models(self, asked: Asked) -> Answer:
        is_archived = asked.query.get("isArchived") == "true"
        seen = [self._view(each) for each in self.models if self.models[each]["isArchived"] == is_archived]
        named = [each for each in seen if re.search(asked.query.get("name", ""), each["name"])]
        if "projectId" in asked.query:
            named = [each for each in named if self.versions[each["id"]][0]["projectId"] == asked.query["projectId"]]
        offset = int(asked.query["offset"])
        return 200, {"items": named[offset : offset + int(asked.query["limit"])], "metadata": {}}

    def _create_model(self, asked: Asked) -> Answer:
        id = next(self._ids)
        fields = {key: value for key, value in asked.json.items() if key != "version"}
        endpoint = f"{self.url}/models/{id}/latest/model"
        mine = {"id": id, "isRestricted": True, "isArchived": False, "endpoints": {"latest": endpoint}}
        self.models[id] = {**fields, **mine}
        self.versions[id] = []
        self.serving.create(id, fields)
        self._new_version(id, asked.json["version"])
        return 201, self._view(id)

    def _get_model(self, asked: Asked, model_id: str) -> Answer:
        self._model(model_id)
        return 200, self._view(model_id)

    def _view(self, model_id: str) -> Json:
        model = self.models[model_id]
        latest = self.serving.labels[model_id].get("latest")
        versions = self.versions[model_id]
        active = next((each for each in versions if each["id"] == latest), versions[-1] if versions else None)
        return {**model, **self.serving.model_view(model_id), "name": model["name"], "activeVersion": active}

    def copy(self, model_id: str, as_id: str, **changes: Json) -> None:
        """Another model API like this one."""
        self.models[as_id] = {**self.models[model_id], "id": as_id, **changes}
        self.versions[as_id] = list(self.versions[model_id])
        self.serving.create(as_id, self.models[as_id])

    def _archive(self, asked: Asked, model_id: str) -> Answer:
        self._model(model_id)["isArchived"] = True
        for version in self.versions[model_id]:
            self.tell(version["id"], Story(steps=[("Stopped", False, "", 0)]))
        return 204, None

    def _restore(self, asked: Asked, model_id: str) -> Answer:
        self._model(model_id)["isArchived"] = False
        return 200, self._view(model_id)

    def _create_version(self, asked: Asked, model_id: str) -> Answer:
        return 201, self._new_version(model_id, asked.json)

    def _new_version(self, model_id: str, fields: Mapping[str, Json]) -> Json:
        environment_id = fields.get("environmentId") or self.models[model_id]["environmentId"]
        version = {
            **fields,
            "id": next(self._ids),
            "number": len(self.versions[model_id]) + 1,
            "environmentRevisionId": self.environments[environment_id]["latestRevision"]["id"],
            "deployment": {"status": "Preparing to build", "isPending": True},
            "metadata": {"created": 1_700_000_000_000},
        }
        self.versions[model_id].append(version)
        self.tell(version["id"], self.story)
        self.serving.publish(model_id, version["id"], version["number"])
        return version

    def tell(self, version_id: str, story: Story) -> None:
        """From now on, `story` is what becomes of the version."""
        self.stories[version_id] = Story(**{**vars(story), "steps": list(story.steps)})

    def _look(self, asked: Asked, model_id: str, version_id: str) -> Answer:
        """One step further in its story."""
        version = next(each for each in self.versions[model_id] if each["id"] == version_id)
        shown = self._shown(model_id, version)
        status, is_pending, _, _ = self.stories[version_id].steps[0]
        if len(self.stories[version_id].steps) > 1:
            self.stories[version_id].steps.pop(0)
        if status == "Running" and not is_pending:
            self.serving.runs(model_id, version_id)
        elif status == "Stopped":
            self.serving.rests(model_id, version_id)
        return 200, shown

    def _shown(self, model_id: str, version: Json) -> Json:
        status, is_pending, reason, ready = self.stories[version["id"]].steps[0]
        wanted = self.serving.settings[model_id]["replicas"]
        led = self.serving.labels[model_id]
        version["labels"] = sorted(label for label, each in led.items() if each == version["id"])
        version["deployment"] = {
            "status": status,
            "isPending": is_pending,
            "reason": reason,
            "instances": {"wanted": wanted, "ready": min(ready, wanted)},
        }
        return version

    def _status(self, version_id: str) -> str:
        """Of one that is being stopped: what it will be."""
        first, last = (self.stories[version_id].steps[each][0] for each in (0, -1))
        return last if first == "Running" else first

    def _set_target(self, asked: Asked, model_id: str, version_id: str) -> Answer:
        is_running = asked.json["isRunning"]
        end = RUNNING if is_running else ("Stopped", False, "", 0)
        self.tell(version_id, Story(steps=[("Starting" if is_running else "Running", True, "", 1), end]))
        _, version = self._look(asked, model_id, version_id)
        return 202, version

    def _cancel_build(self, asked: Asked, model_id: str, version_id: str) -> Answer:
        self.tell(version_id, Story(steps=[("Failed", False, "the build was cancelled by ann", 0)]))
        _, version = self._look(asked, model_id, version_id)
        return 202, version

    def _log(self, asked: Asked, model_id: str, version_id: str, kind: str) -> Answer:
        story = self.stories[version_id]
        texts = {"build": story.build_log, "instance": story.instance_log, "deployment": story.deployment_log}[kind]
        # Two lines share each time, and the given time is counted in: what a client must cope with.
        lines = [
            {"log": text, "streamType": "stdout", "tags": [], "timeNano": 10**18 + number // 2, "timestamp": 0}
            for number, text in enumerate(texts)
        ]
        wanted = [line for line in lines if int(str(line["timeNano"])) >= int(asked.query.get("sinceTimeNano", "0"))]
        first = min(self.log_page_size, int(asked.query.get("maxResults", "10000")))
        return 200, {"logs": wanted[-int(asked.query.get("tail", "0")) :][:first], "status": "Running"}

    def _predict(self, asked: Asked, model_id: str, label: str) -> Answer:
        model = self._model(model_id)
        if label == "prod" and self.serving.settings[model_id]["routingMode"] == "basic":
            raise Refusal(404, {"errors": ["There is no such route"]})
        expected = "Basic " + base64.b64encode(f"{TOKEN}:{TOKEN}".encode()).decode()
        if model["isRestricted"] and asked.headers.get("Authorization") != expected:
            raise Refusal(401, {"errors": ["The token is not valid"]})
        try:
            body = json.loads(asked.body)
        except ValueError:
            raise Refusal(400, {"errors": ["The body is not JSON"]}) from None
        return self.model_answer(body)

    def _model(self, model_id: str) -> Json:
        if model_id not in self.models:
            raise Refusal(404, {"error": "There is no such model API"})
        return self.models[model_id]
