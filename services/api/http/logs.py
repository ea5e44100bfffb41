"""This file answers with logs: of a build, of a deployment, and of what instances wrote."""

from __future__ import annotations

from aiohttp import web

from services.api.http import views
from services.api.http.permits import about
from services.api.http.query import PlainText, WholeNumber
from services.api.http.routes import API, Route, answer
from services.api.ports import Observed
from services.core import subjects
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.errors import Invalid
from services.core.ids import InstanceId, is_bus_token
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.subjects import LogKind

VERSION_AT = API + "/modelApis/{model}/versions/{version}"

MAX_LINES = 10_000
_FARTHEST_NANO = 253_402_300_799 * 10**9  # the year 9999

POD_NAME = PlainText("podName", "one instance, by its id; left out: all")
SINCE = WholeNumber(
    "sinceTimeNano",
    "only what is after the line of this timeNano, epoch nanoseconds",
    default=0,
    low=0,
    high=_FARTHEST_NANO,
)
TAIL = WholeNumber("tail", "only the last so many lines; 0: all", default=0, low=0, high=MAX_LINES)
MAX_RESULTS = WholeNumber("maxResults", "the first so many of those", default=MAX_LINES, low=1, high=MAX_LINES)
LINES = (SINCE, TAIL, MAX_RESULTS)


class Logs:
    """The logs of one version."""

    def __init__(self, observed: Observed) -> None:
        self._observed = observed

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                VERSION_AT + "/buildLogs",
                self.of_build,
                Action.VIEW_LOGS,
                query=LINES,
                gives={200: views.VersionLogs},
            ),
            Route(
                "GET",
                VERSION_AT + "/deploymentLogs",
                self.of_deployment,
                Action.VIEW_LOGS,
                query=LINES,
                gives={200: views.VersionLogs},
            ),
            Route(
                "GET",
                VERSION_AT + "/instanceLogs",
                self.of_instances,
                Action.VIEW_LOGS,
                query=(POD_NAME, *LINES),
                gives={200: views.VersionLogs},
            ),
        ]

    async def of_build(self, request: web.Request) -> web.Response:
        """Lines that the build of a version wrote."""
        model, version = self._version(request)
        return await self._answer(request, model, version, subjects.log(LogKind.BUILD, model.id, version.id), {})

    async def of_deployment(self, request: web.Request) -> web.Response:
        """Lines that tell how a version was started, routed to and stopped."""
        model, version = self._version(request)
        subject = subjects.log(LogKind.DEPLOYMENT, model.id, version.id)
        return await self._answer(request, model, version, subject, {})

    async def of_instances(self, request: web.Request) -> web.Response:
        """Lines that instances of a version wrote: one instance, named by `podName`, or all of them."""
        model, version = self._version(request)
        instance = POD_NAME.of(request)
        if instance is None:
            subject, tags = subjects.log(LogKind.INSTANCE, model.id, version.id) + ".>", {}
        elif is_bus_token(instance):
            subject = subjects.log(LogKind.INSTANCE, model.id, version.id, InstanceId(instance))
            tags = {"podName": instance}
        else:
            raise Invalid("podName must be the id of an instance", field="podName")
        return await self._answer(request, model, version, subject, tags)

    def _version(self, request: web.Request) -> tuple[Model, Version]:
        model = about(request, MODEL)
        return model, model.version(request.match_info["version"])

    async def _answer(
        self, request: web.Request, model: Model, version: Version, subject: str, tags: dict[str, str]
    ) -> web.Response:
        logs = await self.lines(request, subject, tags)
        status = views.status(model, version, self._observed.seen(version)).status
        return answer(views.VersionLogs(logs=logs, model_id=model.id, model_version_id=version.id, status=status))

    async def lines(self, request: web.Request, subject: str, tags: dict[str, str]) -> list[views.LogLine]:
        """Lines after `sinceTimeNano`, oldest first: the first `maxResults` of them, or of the last `tail`.

        Never more than `MAX_LINES`, nor more than the bus gives at once: who wants all asks again from the last line's
        `timeNano`, until there is none.
        """
        since = SINCE.of(request)
        tail = TAIL.of(request)
        first = MAX_RESULTS.of(request)
        if tail:
            lines = (await self._observed.read_end(subject, limit=tail, after_ns=since))[:first]
        else:
            lines = await self._observed.read_log(subject, limit=first, after_ns=since)
        return views.log_lines(lines, tags)
