"""This file answers operators' scripts: what runs, starting and stopping it, and how its build and its start went."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_defaults
from services.api.http.body import plain_text, whole_number
from services.api.http.callers import actor
from services.api.http.compatible import views
from services.api.http.intent import intent
from services.api.http.logs import Logs
from services.api.http.routes import Route, answer
from services.api.http.views import project as project_view
from services.api.ports import Ledger, ModelQuery, Observed, Store
from services.core import subjects
from services.core.access import Action
from services.core.aggregates import MODEL, PERSON, PROJECT
from services.core.commands import ModelCommand, StartVersion, StopVersion
from services.core.ids import VersionId
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.person import Person
from services.core.project import Project
from services.core.subjects import LogKind

OLD_MODEL_AT = "/models/{model}/versions"  # on the port of predictions, whose paths all name a label
V4_VERSION_AT = "/v4/models/{model}/{version}"

_READ_AT_ONCE = 500
_FARTHEST_PAGE = 1_000_000


class Control:
    """Models and versions under the control routes. Scripts take 200 for success, and nothing else."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, logs: Logs) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._logs = logs

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/v4/projects", self.projects, Action.LOOK_AROUND),
            Route("GET", "/v4/modelManager/getModels", self.models, Action.LOOK_AROUND),
            Route("GET", OLD_MODEL_AT + "/json", self.versions, Action.VIEW),
            Route("GET", OLD_MODEL_AT + "/{version}/json", self.version, Action.VIEW),
            Route("POST", V4_VERSION_AT + "/startModelDeployment", self.start, Action.RUN_VERSION),
            Route("POST", V4_VERSION_AT + "/stopModelDeployment", self.stop, Action.RUN_VERSION),
            Route("GET", V4_VERSION_AT + "/getModelDeploymentStatus", self.deployment_status, Action.VIEW),
            Route("GET", V4_VERSION_AT + "/getBuildStatus", self.build_status, Action.VIEW),
            Route("GET", V4_VERSION_AT + "/getBuildLogs", self.build_logs, Action.VIEW_LOGS),
            Route("GET", V4_VERSION_AT + "/modelDeploymentLogs", self.deployment_logs, Action.VIEW_LOGS),
        ]

    async def projects(self, _request: web.Request) -> web.Response:
        """Where scripts begin that go through everything."""
        return answer([project_view(project) for project in await self._store.list_all(PROJECT)])

    async def models(self, request: web.Request) -> web.Response:
        """All that are not archived, by name: of one project, or of every project."""
        project_id = plain_text(request, "projectId")
        projects: dict[str, Project] = {}
        owners: dict[str, Person] = {}
        if project_id is not None:
            projects[project_id] = await self._store.load(PROJECT, project_id)
        items = []
        for model in await self._all(project_id):
            if model.project_id not in projects:
                projects[model.project_id] = await self._store.load(PROJECT, model.project_id)
            if model.owner_id not in owners:
                owners[model.owner_id] = await self._store.load(PERSON, model.owner_id)
            project, owner = projects[model.project_id], owners[model.owner_id]
            items.append(views.managed_model(model, project, owner, self._observed.seen))
        return answer(items)

    async def versions(self, request: web.Request) -> web.Response:
        """One page, the first being 1, newest first; nothing past the end."""
        page = whole_number(request, "pageNumber", default=1, low=1, high=_FARTHEST_PAGE)
        size = whole_number(request, "pageSize", default=10, low=1, high=1000)
        model = await self._store.load(MODEL, request.match_info["model"])
        newest_first = model.versions[::-1][(page - 1) * size : page * size]
        seen = self._observed.seen
        return answer({"results": [views.managed_version(model, version, seen) for version in newest_first]})

    async def version(self, request: web.Request) -> web.Response:
        model, version = await self._version(request)
        return answer({"result": views.managed_version(model, version, self._observed.seen)})

    async def start(self, request: web.Request) -> web.Response:
        """It is ordered; the status tells when it is so. What the body says is left aside."""
        version_id = VersionId(request.match_info["version"])
        return await self._order(
            request, StartVersion(version_id=version_id, defaults=await read_defaults(self._store))
        )

    async def stop(self, request: web.Request) -> web.Response:
        """Likewise."""
        return await self._order(request, StopVersion(version_id=VersionId(request.match_info["version"])))

    async def deployment_status(self, request: web.Request) -> web.Response:
        model, version = await self._version(request)
        return answer(views.deployed(model, version, self._observed.seen))

    async def build_status(self, request: web.Request) -> web.Response:
        return answer(views.built(*await self._version(request)))

    async def build_logs(self, request: web.Request) -> web.Response:
        model, version = await self._version(request)
        logs = await self._logs.lines(request, subjects.log(LogKind.BUILD, model.id, version.id), {})
        return answer({**views.built(model, version), "logs": logs})

    async def deployment_logs(self, request: web.Request) -> web.Response:
        model, version = await self._version(request)
        logs = await self._logs.lines(request, subjects.log(LogKind.DEPLOYMENT, model.id, version.id), {})
        return answer({**views.deployed(model, version, self._observed.seen), "logs": logs})

    async def _order(self, request: web.Request, command: ModelCommand) -> web.Response:
        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )
        return answer(views.deployed(after, after.version(request.match_info["version"]), self._observed.seen))

    async def _version(self, request: web.Request) -> tuple[Model, Version]:
        model = await self._store.load(MODEL, request.match_info["model"])
        return model, model.version(request.match_info["version"])

    async def _all(self, project_id: str | None) -> list[Model]:
        found: list[Model] = []
        while True:
            query = ModelQuery(project_id=project_id, limit=_READ_AT_ONCE, offset=len(found))
            models, total = await self._store.list_models(query)
            found += models
            if not models or len(found) >= total:
                return found
