"""This file answers for Model APIs: creating, listing, showing, describing and archiving them."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec.structs import replace

from services.api.configured import read_defaults
from services.api.http import patterns, views
from services.api.http.body import Body, read
from services.api.http.callers import WHO, actor
from services.api.http.faults import REQUEST_ID
from services.api.http.intent import intent
from services.api.http.permits import about, may_also
from services.api.http.projects import LongText
from services.api.http.publish import ModelBody, Publisher
from services.api.http.query import LIMIT, OFFSET, PlainText, YesOrNo
from services.api.http.routes import API, Route, answer
from services.api.http.settings_body import wire_words
from services.api.http.shapes import says
from services.api.http.views.listed import ListedModels, listed_model
from services.api.http.views.settings_fields import Replicas
from services.api.ports import Ledger, ModelQuery, Observed, Store
from services.core import names
from services.core.access import Action, Standing, Verdict, judge
from services.core.aggregates import MODEL, PROJECT
from services.core.commands import AnyCommand, ArchiveModel, DescribeModel, RestoreModel, RollBack
from services.core.errors import Invalid
from services.core.model import Model

MODELS_AT = API + "/modelApis"
MODEL_AT = MODELS_AT + "/{model}"

ORDERS = ("name", "created")

PROJECT_ID = PlainText("projectId", "only Model APIs of this project, by its id")
ENVIRONMENT_ID = PlainText("environmentId", "only Model APIs with this compute environment, by its id")
NAME = PlainText(
    "name",
    "only Model APIs whose name this finds: a regular expression of at most 100 characters that repeats nothing but "
    "'.*', without regard to case",
)
IS_ARCHIVED = YesOrNo("isArchived", "those in the archive, instead of the others")
ORDER_BY = PlainText("orderBy", f"{' or '.join(ORDERS)}; then, behind a space, ASC or DESC", default=ORDERS[0])
MODEL_FILTERS = (PROJECT_ID, ENVIRONMENT_ID, NAME, IS_ARCHIVED, ORDER_BY, LIMIT, OFFSET)


class DescriptionBody(Body, frozen=True, kw_only=True):
    """What a Model API is from now on."""

    name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]
    description: LongText
    environment_id: Annotated[str, says("the compute environment of versions to come, by its id; empty: as it is")]
    replicas: Replicas


class RollBackBody(Body, frozen=True, kw_only=True):
    """What to roll back."""

    label: Annotated[
        str | None, says("latest or prod; null, as left out: prod where that leads anywhere, else latest")
    ] = None


class Models:
    """Model APIs."""

    def __init__(
        self, store: Store, ledger: Ledger, observed: Observed, publisher: Publisher, *, public_url: str
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._publisher = publisher
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET", MODELS_AT, self.index, Action.LOOK_AROUND, query=MODEL_FILTERS, gives={200: views.ModelApiPage}
            ),
            Route(
                "POST",
                MODELS_AT,
                self.create,
                Action.CREATE_MODEL,
                takes=ModelBody,
                gives={201: views.ModelApi},
                also=(404,),
            ),
            Route("GET", MODEL_AT, self.show, Action.VIEW, gives={200: views.ModelApi}),
            Route(
                "PUT",
                MODEL_AT,
                self.describe,
                Action.CHANGE_SETTINGS,
                takes=DescriptionBody,
                gives={200: views.ModelApi},
            ),
            Route("DELETE", MODEL_AT, self.archive, Action.ARCHIVE_MODEL, gives={204: None}),
            Route("POST", MODEL_AT + "/restore", self.restore, Action.ARCHIVE_MODEL, gives={200: views.ModelApi}),
            Route(
                "POST",
                MODEL_AT + "/rollback",
                self.roll_back,
                Action.RUN_VERSION,
                takes=RollBackBody,
                gives={200: views.ModelApi},
                is_body_optional=True,
            ),
            Route(
                "GET",
                "/v1/projects/{owner}/{project}/models",
                self.list_of_project,
                Action.FIND_PROJECT,
                gives={200: ListedModels},
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """A page of the Model APIs that the caller may see."""
        reach = await self._store.reach(request[WHO])
        query = replace(model_query(request), visible_to=reach)
        models, total = await self._store.list_models(query)
        page = views.Pagination(offset=query.offset, limit=query.limit, total_count=total)
        metadata = views.PageMetadata(request_id=request[REQUEST_ID], notices=[], pagination=page)
        items = [self._view(model, is_for_editors=_edits(reach.to_model(model))) for model in models]
        return answer(views.ModelApiPage(items=items, metadata=metadata))

    async def create(self, request: web.Request) -> web.Response:
        """Create a Model API, and publish its first version."""
        body = await read(request, ModelBody)
        model = await self._publisher.create(request, body)
        return answer(self._view(model), status=201, at=views.model_at(model.id))

    async def show(self, request: web.Request) -> web.Response:
        """A Model API."""
        return answer(self._view(about(request, MODEL), is_for_editors=may_also(request, Action.VIEW_SETTINGS)))

    async def describe(self, request: web.Request) -> web.Response:
        """Change a Model API's name, description, environment and replicas."""
        body = await read(request, DescriptionBody)
        environment_id = about(request, MODEL).environment_id
        if body.environment_id not in ("", environment_id):
            environment_id = (await self._publisher.environment(request, body.environment_id)).id
        command = DescribeModel(
            name=names.check_model_name(body.name),
            description=body.description,
            environment_id=environment_id,
            instances=body.replicas,
            defaults=await read_defaults(self._store),
        )
        with wire_words():
            return await self._order(request, command, "describe")

    async def archive(self, request: web.Request) -> web.Response:
        """Archive a Model API: all of it stops. It can be restored."""
        await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            ArchiveModel(),
            actor=actor(request),
            command_id=intent(request).command_id("archive"),
        )
        return web.Response(status=204)

    async def restore(self, request: web.Request) -> web.Response:
        """Take a Model API out of the archive.

        Nothing of it runs yet: that is ordered version by version.
        """
        return await self._order(request, RestoreModel(), "restore")

    async def roll_back(self, request: web.Request) -> web.Response:
        """Lead a label back to the version that it led to before.

        Without a body: prod where that leads anywhere, else latest.
        """
        body = await read(request, RollBackBody, is_optional=True)
        command = RollBack(label=body.label, defaults=await read_defaults(self._store))
        return await self._order(request, command, "rollback")

    async def _order(self, request: web.Request, command: AnyCommand, step: str) -> web.Response:
        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(step),
        )
        return answer(self._view(after))

    async def list_of_project(self, request: web.Request) -> web.Response:
        """The Model APIs of a project, as older clients list them: 1000 at most."""
        query = ModelQuery(
            project_id=about(request, PROJECT).id, limit=1000, visible_to=await self._store.reach(request[WHO])
        )
        models, _ = await self._store.list_models(query)
        return answer(ListedModels(data=[listed_model(model) for model in models]))

    def _view(self, model: Model, *, is_for_editors: bool = True) -> views.ModelApi:
        return views.model(model, self._observed.seen, public_url=self._public_url, is_for_editors=is_for_editors)


def _edits(standing: Standing) -> bool:
    return judge(standing, Action.VIEW_SETTINGS) is Verdict.ALLOWED


def model_query(request: web.Request) -> ModelQuery:
    """What to list, as the query says. Raises `Invalid` naming what is allowed."""
    order_by, is_descending = _order(ORDER_BY.of(request) or ORDERS[0])
    return ModelQuery(
        project_id=PROJECT_ID.of(request),
        environment_id=ENVIRONMENT_ID.of(request),
        name=patterns.regular_expression(NAME.of(request)),
        is_archived=IS_ARCHIVED.of(request),
        order_by=order_by,
        is_descending=is_descending,
        limit=LIMIT.of(request),
        offset=OFFSET.of(request),
    )


def _order(text: str) -> tuple[str, bool]:
    field, _, direction = text.partition(" ")
    if field not in ORDERS or direction.upper() not in ("", "ASC", "DESC"):
        raise Invalid(
            f"orderBy must be one of {', '.join(ORDERS)}, then ASC or DESC, got {names.shortened(text)}",
            field="orderBy",
        )
    return field, direction.upper() == "DESC"
