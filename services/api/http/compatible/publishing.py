"""This file publishes for programs that send a model, or a version, as one flat body."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import CALLER, actor
from services.api.http.intent import intent
from services.api.http.projects import LongText
from services.api.http.publish import ModelBody, Patterns, Publisher, SourceBody, VersionBody
from services.api.http.routes import Route, answer
from services.api.ports import Observed, Store
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.errors import Invalid


class FlatVersionBody(Body, frozen=True, kw_only=True):
    """What is left out, null or "" is as in the version before; of `excludeFiles`, [] is none."""

    project_id: str | None = None
    file: str | None = None
    function: str | None = None
    exclude_files: Patterns | None = None
    environment_id: str | None = None
    commit_id: str | None = None  # the newest
    description: LongText | None = None

    def version(self) -> VersionBody:
        return VersionBody(
            project_id=self.project_id,
            source=SourceBody(file=self.file, function=self.function, exclude_files=self.exclude_files),
            commit_id=self.commit_id,
            environment_id=self.environment_id,
            description=self.description or "",
        )


class FlatModelBody(FlatVersionBody, frozen=True, kw_only=True):
    """A model and its first version, which has the same description."""

    name: str

    def model(self) -> ModelBody:
        return ModelBody(
            name=self.name,
            description=self.description or "",
            environment_id=self.environment_id or "",
            version=self.version(),
        )


class FlatPublishing:
    """Models and versions that are built and run as soon as they are published."""

    def __init__(self, store: Store, observed: Observed, publisher: Publisher, *, public_url: str) -> None:
        self._store = store
        self._observed = observed
        self._publisher = publisher
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/v1/models", self.publish_model, Action.CREATE_MODEL),
            Route("POST", "/v1/models/{model}/versions", self.publish_version, Action.PUBLISH_VERSION),
        ]

    async def publish_model(self, request: web.Request) -> web.Response:
        body = await read(request, FlatModelBody)
        by, owner_id = actor(request), request[CALLER].id
        with flat_words():
            model = await self._publisher.create(body.model(), intent(request), by=by, owner_id=owner_id)
        view = views.model(model, self._observed.seen, public_url=self._public_url)
        return answer({"data": {"_id": model.id, **view}}, status=201, at=views.model_at(model.id))

    async def publish_version(self, request: web.Request) -> web.Response:
        body = await read(request, FlatVersionBody)
        model = await self._store.load(MODEL, request.match_info["model"])
        with flat_words():
            after, version = await self._publisher.publish(model, body.version(), intent(request), by=actor(request))
        at = views.version_at(after.id, version.id)
        return answer({"id": version.id, "number": version.number}, status=201, at=at)


@contextlib.contextmanager
def flat_words() -> Iterator[None]:
    """Faults name the field as it was sent: `file`, and not `version.source.file`."""
    try:
        yield
    except Invalid as error:
        field = error.field or ""
        if not error.reason.startswith(field):
            raise
        name = field.rpartition(".")[2]
        raise Invalid(name + error.reason.removeprefix(field), field=name or None) from None
