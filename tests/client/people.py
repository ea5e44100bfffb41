"""This file is the stand-in's people: who has a role in a model API or a project, and what a project's commits hold.

It keeps to the contract's shapes. `KNOWN` are the people and organisations that it knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import unquote

from tests.client.wire import Answer, Asked, Refusal

Json = Any

KNOWN = {"ann": "person", "grace": "person", "lin": "person", "The Lab": "organisation"}


class Platform(Protocol):
    models: dict[str, Json]
    projects: dict[str, Json]
    snapshots: list[Json]
    model_answer: Callable[[Json], tuple[int, Json]]


class People:
    """State and routes. `may_see_settings`: the caller is no mere viewer."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.owner = "ann"
        self.is_public = False
        self.may_see_settings = True
        self.documents: dict[str, Json] = {}  # of models, by their label
        self.roles: dict[str, dict[str, str]] = defaultdict(dict)  # model or project -> name -> role
        self.described: dict[str, Json] = defaultdict(
            lambda: {"description": "", "visibility": "Private", "isArchived": False}
        )

    def routes(self, base: str) -> list[tuple[str, str, Callable[..., Answer]]]:
        model, project = rf"{base}/modelApis/(\w+)", rf"{base}/projects/(\w+)"
        found: list[tuple[str, str, Callable[..., Answer]]] = []
        if not self.may_see_settings:
            found += [("GET", f"{model}/{word}", self._refuse) for word in ("settings", "accessTokens")]
        return [
            *found,
            ("GET", f"{model}/collaborators", lambda _, id: (200, self._collaborators(id))),
            ("PUT", f"{model}/collaborators", lambda asked, id: self._share(asked, id, self._model)),
            ("DELETE", rf"{model}/collaborators/([^/]+)", lambda _, id, who: self._unshare(id, who, self._model)),
            ("PUT", f"{model}/visibility", self._set_visibility),
            ("PUT", f"{model}/restriction", self._set_restriction),
            ("PUT", f"{model}/owner", self._transfer),
            ("POST", f"{model}/invoke", self._invoke),
            ("GET", f"{model}/openapi.json", self._tell_document),
            ("POST", f"{base}/(?:modelApis|projects)/(\\w+)/leave", lambda _, id: self._leave(id)),
            ("GET", project, lambda _, id: (200, self._project(id))),
            ("PUT", project, self._describe),
            ("PUT", f"{project}/collaborators", lambda asked, id: self._share(asked, id, self._project)),
            ("DELETE", rf"{project}/collaborators/([^/]+)", lambda _, id, who: self._unshare(id, who, self._project)),
            ("POST", f"{project}/archive", lambda _, id: self._archive(id, is_archived=True)),
            ("POST", f"{project}/restore", lambda _, id: self._archive(id, is_archived=False)),
            ("GET", rf"{project}/snapshots/(\w+)/files", self._files),
            ("GET", f"{project}/snapshotDiff", self._diff),
        ]

    def _tell_document(self, asked: Asked, _: str) -> Answer:
        if asked.query["label"] not in self.documents:
            raise Refusal(503, {"errors": ["No instance of this model is ready."]})
        return 200, self.documents[asked.query["label"]]

    def _refuse(self, asked: Asked, model_id: str) -> Answer:
        raise Refusal(403, {"requestId": "r", "errors": ["ann may not view settings"]})

    def _collaborators(self, thing_id: str) -> list[Json]:
        owner = {"collaborator": f"id-{self.owner}", "role": "Owner", "kind": "person", "isOwner": True}
        others = [
            {"collaborator": f"id-{name}", "name": name, "kind": KNOWN[name], "role": role, "isOwner": False}
            for name, role in self.roles[thing_id].items()
        ]
        return [{**owner, "name": self.owner}, *others]

    def _model(self, model_id: str) -> Json:
        model = self._platform.models[model_id]
        access = {"isPublic": self.is_public}
        return {**model, "access": access, "collaborators": self._collaborators(model_id)}

    def _project(self, project_id: str) -> Json:
        commits = self._platform.snapshots
        return {
            **self._platform.projects[project_id],
            **self.described[project_id],
            "tags": [{"id": "t", "name": "flowers"}],
            "collaborators": self._collaborators(project_id)[1:],
            "snapshots": len(commits),
            "newestCommitId": commits[-1]["commitId"] if commits else None,
        }

    def _share(self, asked: Asked, thing_id: str, view: Callable[[str], Json]) -> Answer:
        who = asked.json["collaborator"]
        if who not in KNOWN:
            raise Refusal(400, {"error": f"collaborator must be a user name, and nobody here is called '{who}'"})
        self.roles[thing_id][who] = asked.json["role"]
        return 200, view(thing_id)

    def _unshare(self, thing_id: str, quoted: str, view: Callable[[str], Json]) -> Answer:
        if self.roles[thing_id].pop(unquote(quoted), None) is None:
            raise Refusal(404, {"error": f"there is no collaborator '{unquote(quoted)}'"})
        return 200, view(thing_id)

    def _leave(self, thing_id: str) -> Answer:
        self.roles[thing_id].pop("ann", None)
        return 204, None

    def _set_visibility(self, asked: Asked, model_id: str) -> Answer:
        self.is_public = asked.json["isPublic"]
        return 200, self._model(model_id)

    def _set_restriction(self, asked: Asked, model_id: str) -> Answer:
        self._platform.models[model_id]["isRestricted"] = asked.json["isRestricted"]
        return 200, self._model(model_id)

    def _transfer(self, asked: Asked, model_id: str) -> Answer:
        self.roles[model_id][self.owner] = "Editor"
        self.owner = asked.json["owner"]
        return 200, self._model(model_id)

    def _invoke(self, asked: Asked, model_id: str) -> Answer:
        return self._platform.model_answer({"body": asked.json, "label": asked.query["label"]})

    def _describe(self, asked: Asked, project_id: str) -> Answer:
        self.described[project_id] |= {name: value for name, value in asked.json.items() if value is not None}
        return 200, self._project(project_id)

    def _archive(self, project_id: str, *, is_archived: bool) -> Answer:
        self.described[project_id]["isArchived"] = is_archived
        return 200, self._project(project_id)

    def _commit(self, commit_id: str | None) -> Json:
        for number, commit in enumerate(self._platform.snapshots):
            if commit["commitId"] == commit_id:
                return number
        raise Refusal(404, {"error": f"there is no commit {commit_id}"})

    def _files(self, asked: Asked, project_id: str, commit_id: str) -> Answer:
        files = [
            file
            for file in self._platform.snapshots[self._commit(commit_id)]["files"]
            if file["path"].startswith(asked.query.get("path", ""))
        ]
        begin, limit = int(asked.query["offset"]), 1  # a page holds one
        pagination = {"offset": begin, "limit": limit, "totalCount": len(files)}
        return 200, {"items": files[begin : begin + limit], "metadata": {"pagination": pagination}}

    def _diff(self, asked: Asked, project_id: str) -> Answer:
        """A page holds one file."""
        commits = self._platform.snapshots
        end = self._commit(asked.query.get("to", commits[-1]["commitId"]))
        begin = self._commit(asked.query["from"]) if "from" in asked.query else end - 1
        old, new = ({file["path"]: file for file in commits[each]["files"]} for each in (begin, end))
        differ = sorted(path for path in {*old, *new} if old.get(path) != new.get(path))
        page = differ[int(asked.query["offset"]) :][:1]
        kinds = {
            "added": [path for path in differ if path not in old],
            "removed": [path for path in differ if path not in new],
            "changed": [path for path in differ if path in old and path in new],
        }
        return 200, {
            "from": commits[begin]["commitId"],
            "to": commits[end]["commitId"],
            "added": [new[path] for path in page if path in kinds["added"]],
            "removed": [old[path] for path in page if path in kinds["removed"]],
            "changed": [
                {"path": path, "before": old[path], "after": new[path]} for path in page if path in kinds["changed"]
            ],
            "counts": {kind: len(paths) for kind, paths in kinds.items()},
        }
