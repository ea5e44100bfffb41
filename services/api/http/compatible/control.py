"""This file answers operators' scripts: what runs, starting and stopping it, and how its build and its start went."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_defaults
from services.api.http.callers import WHO, actor
from services.api.http.compatible import views
from services.api.http.intent import intent
from services.api.http.logs import LINES, Logs
from services.api.http.permits import Permits, about
from services.api.http.query import PlainText, WholeNumber
from services.api.http.routes import Route, answer
from services.api.ports import Ledger, ModelQuery, Observed, Store
from services.core import subjects
from services.core.access import Action
from services.core.aggregates import MODEL, PERSON
from services.core.commands import ModelCommand, StartVersion, StopVersion
from services.core.ids import VersionId
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.person import Person
from services.core.project import Project
from services.core.standing import Reach
from services.core.subjects import LogKind

OLD_MODEL_AT = "/models/{model}/versions"  # on the port of predictions, whose paths all name a label
V4_VERSION_AT = "/v4/models/{model}/{version}"

_READ_AT_ONCE = 500
_FARTHEST_PAGE = 1_000_000

PROJECT_ID = PlainText("projectId", "only models of this project, by its id; left out: of every project")
PAGE_NUMBER = WholeNumber("pageNumber", "which page, the first being 1", default=1, low=1, high=_FARTHEST_PAGE)
PAGE_SIZE = WholeNumber("pageSize", "how many versions a page has at most", default=10, low=1, high=1000)


class Control:
    """Models and versions under the control routes. Scripts take 200 for success, and nothing else."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, logs: Logs, permits: Permits) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._logs = logs
        self._permits = permits

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                "/v4/modelManager/getModels",
                self.models,
                Action.LOOK_AROUND,
                query=(PROJECT_ID,),
                gives={200: list[views.ManagedModel]},
                also=(404,),
            ),
            Route(
                "GET",
                OLD_MODEL_AT + "/json",
                self.versions,
                Action.VIEW,
                query=(PAGE_NUMBER, PAGE_SIZE),
                gives={200: views.ManagedVersions},
            ),
            Route(
                "GET",
                OLD_MODEL_AT + "/{version}/json",
                self.version,
                Action.VIEW,
                gives={200: views.ManagedVersionResult},
            ),
            Route(
                "POST",
                V4_VERSION_AT + "/startModelDeployment",
                self.start,
                Action.RUN_VERSION,
                gives={200: views.Deployed},
            ),
            Route(
                "POST",
                V4_VERSION_AT + "/stopModelDeployment",
                self.stop,
                Action.RUN_VERSION,
                gives={200: views.Deployed},
            ),
            Route(
                "GET",
                V4_VERSION_AT + "/getModelDeploymentStatus",
                self.deployment_status,
                Action.VIEW,
                gives={200: views.Deployed},
            ),
            Route("GET", V4_VERSION_AT + "/getBuildStatus", self.build_status, Action.VIEW, gives={200: views.Built}),
            Route(
                "GET",
                V4_VERSION_AT + "/getBuildLogs",
                self.build_logs,
                Action.VIEW_LOGS,
                query=LINES,
                gives={200: views.Built},
            ),
            Route(
                "GET",
                V4_VERSION_AT + "/modelDeploymentLogs",
                self.deployment_logs,
                Action.VIEW_LOGS,
                query=LINES,
                gives={200: views.Deployed},
            ),
        ]

    async def models(self, request: web.Request) -> web.Response:
        """Models that are not archived, by name: all of one project, or of every project."""
        project_id = PROJECT_ID.of(request)
        projects: dict[str, Project] = {}
        owners: dict[str, Person] = {}
        if project_id is not None:
            projects[project_id] = await self._store.sharing(project_id)
            await self._permits.require(request, Action.FIND_PROJECT, projects[project_id])
        items = []
        for model in await self._all(project_id, await self._store.reach(request[WHO])):
            if model.project_id not in projects:
                projects[model.project_id] = await self._store.sharing(model.project_id)
            if model.owner_id not in owners:
                owners[model.owner_id] = await self._store.load(PERSON, model.owner_id)
            project, owner = projects[model.project_id], owners[model.owner_id]
            items.append(views.managed_model(model, project, owner, self._observed.seen))
        return answer(items)

    async def versions(self, request: web.Request) -> web.Response:
        """A page of a model's versions, newest first; nothing past the end."""
        page = PAGE_NUMBER.of(request)
        size = PAGE_SIZE.of(request)
        model = about(request, MODEL)
        newest_first = model.versions[::-1][(page - 1) * size : page * size]
        seen = self._observed.seen
        results = [views.managed_version(model, version, seen) for version in newest_first]
        return answer(views.ManagedVersions(results=results))

    async def version(self, request: web.Request) -> web.Response:
        """A version of a model."""
        model, version = self._version(request)
        result = views.managed_version(model, version, self._observed.seen)
        return answer(views.ManagedVersionResult(result=result))

    async def start(self, request: web.Request) -> web.Response:
        """Start a version.

        It is ordered; the status tells when it is so. What the body says is left aside.
        """
        version_id = VersionId(request.match_info["version"])
        return await self._order(
            request, StartVersion(version_id=version_id, defaults=await read_defaults(self._store))
        )

    async def stop(self, request: web.Request) -> web.Response:
        """Stop a version.

        It is ordered; the status tells when it is so. What the body says is left aside.
        """
        return await self._order(request, StopVersion(version_id=VersionId(request.match_info["version"])))

    async def deployment_status(self, request: web.Request) -> web.Response:
        """What a version does."""
        model, version = self._version(request)
        return answer(views.deployed(model, version, self._observed.seen))

    async def build_status(self, request: web.Request) -> web.Response:
        """How far the build of a version is."""
        return answer(views.built(*self._version(request)))

    async def build_logs(self, request: web.Request) -> web.Response:
        """Lines that the build of a version wrote."""
        model, version = self._version(request)
        logs = await self._logs.lines(request, subjects.log(LogKind.BUILD, model.id, version.id), {})
        return answer(views.built(model, version, logs=logs))

    async def deployment_logs(self, request: web.Request) -> web.Response:
        """Lines that tell how a version was started, routed to and stopped."""
        model, version = self._version(request)
        logs = await self._logs.lines(request, subjects.log(LogKind.DEPLOYMENT, model.id, version.id), {})
        return answer(views.deployed(model, version, self._observed.seen, logs=logs))

    async def _order(self, request: web.Request, command: ModelCommand) -> web.Response:
        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )
        return answer(views.deployed(after, after.version(request.match_info["version"]), self._observed.seen))

    def _version(self, request: web.Request) -> tuple[Model, Version]:
        model = about(request, MODEL)
        return model, model.version(request.match_info["version"])

    async def _all(self, project_id: str | None, reach: Reach) -> list[Model]:
        found: list[Model] = []
        while True:
            query = ModelQuery(project_id=project_id, visible_to=reach, limit=_READ_AT_ONCE, offset=len(found))
            models, total = await self._store.list_models(query)
            found += models
            if not models or len(found) >= total:
                return found
