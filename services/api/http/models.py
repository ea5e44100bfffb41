"""This file answers for Model APIs: creating, listing, showing, describing and archiving them."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_defaults
from services.api.http import patterns, views
from services.api.http.body import Body, plain_text, read, whole_number, yes_or_no
from services.api.http.callers import CALLER, actor
from services.api.http.faults import REQUEST_ID
from services.api.http.intent import intent
from services.api.http.projects import LongText
from services.api.http.publish import ModelBody, Publisher
from services.api.http.routes import API, Route, answer
from services.api.http.settings_body import wire_words
from services.api.ports import Ledger, ModelQuery, Observed, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import ENVIRONMENT, MODEL
from services.core.commands import AnyCommand, ArchiveModel, DescribeModel, RestoreModel, RollBack
from services.core.errors import Invalid, NotFound
from services.core.model import Model

MODELS_AT = API + "/modelApis"
MODEL_AT = MODELS_AT + "/{model}"

ORDERS = ("name", "created")
_MAX_OFFSET = 1_000_000


class DescriptionBody(Body, frozen=True, kw_only=True):
    name: str
    description: LongText
    environment_id: str  # "": as it is
    replicas: int


class RollBackBody(Body, frozen=True, kw_only=True):
    label: str | None = None  # prod where that leads anywhere, else latest


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
            Route("GET", MODELS_AT, self.index, Action.LOOK_AROUND),
            Route("POST", MODELS_AT, self.create, Action.CREATE_MODEL),
            Route("GET", MODEL_AT, self.show, Action.VIEW),
            Route("PUT", MODEL_AT, self.describe, Action.CHANGE_SETTINGS),
            Route("DELETE", MODEL_AT, self.archive, Action.ARCHIVE_MODEL),
            Route("POST", MODEL_AT + "/restore", self.restore, Action.ARCHIVE_MODEL),
            Route("POST", MODEL_AT + "/rollback", self.roll_back, Action.RUN_VERSION),
            Route("GET", "/v1/projects/{owner}/{project}/models", self.list_of_project, Action.FIND_PROJECT),
        ]

    async def index(self, request: web.Request) -> web.Response:
        query = model_query(request)
        models, total = await self._store.list_models(query)
        page = {"offset": query.offset, "limit": query.limit, "totalCount": total}
        metadata = {"requestId": request[REQUEST_ID], "notices": [], "pagination": page}
        return answer({"items": [self._view(model) for model in models], "metadata": metadata})

    async def create(self, request: web.Request) -> web.Response:
        body = await read(request, ModelBody)
        owner_id = request[CALLER].id
        model = await self._publisher.create(body, intent(request), by=actor(request), owner_id=owner_id)
        return answer(self._view(model), status=201, at=views.model_at(model.id))

    async def show(self, request: web.Request) -> web.Response:
        return answer(self._view(await self._store.load(MODEL, request.match_info["model"])))

    async def describe(self, request: web.Request) -> web.Response:
        body = await read(request, DescriptionBody)
        model = await self._store.load(MODEL, request.match_info["model"])
        environment_id = model.environment_id
        if body.environment_id:
            environment_id = (await self._store.load(ENVIRONMENT, body.environment_id)).id
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
        await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            ArchiveModel(),
            actor=actor(request),
            command_id=intent(request).command_id("archive"),
        )
        return web.Response(status=204)

    async def restore(self, request: web.Request) -> web.Response:
        """Nothing of it runs yet: that is ordered version by version."""
        return await self._order(request, RestoreModel(), "restore")

    async def roll_back(self, request: web.Request) -> web.Response:
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
        owner, name = request.match_info["owner"], request.match_info["project"]
        project = await self._store.find_project(owner_name=owner, name=name)
        if project is None:
            raise NotFound(f"there is no project {names.shortened(f'{owner}/{name}')}")
        models, _ = await self._store.list_models(ModelQuery(project_id=project.id, limit=1000))
        data = [{"id": model.id, "_id": model.id, "name": model.name} for model in models]
        return answer({"objectType": "list", "data": data})

    def _view(self, model: Model) -> views.View:
        return views.model(model, self._observed.seen, public_url=self._public_url)


def model_query(request: web.Request) -> ModelQuery:
    """What to list, as the query says. Raises `Invalid` naming what is allowed."""
    order_by, is_descending = _order(plain_text(request, "orderBy") or ORDERS[0])
    return ModelQuery(
        project_id=plain_text(request, "projectId"),
        environment_id=plain_text(request, "environmentId"),
        name=patterns.regular_expression(plain_text(request, "name")),
        is_archived=yes_or_no(request, "isArchived"),
        order_by=order_by,
        is_descending=is_descending,
        limit=whole_number(request, "limit", default=25, low=1, high=1000),
        offset=whole_number(request, "offset", default=0, low=0, high=_MAX_OFFSET),
    )


def _order(text: str) -> tuple[str, bool]:
    field, _, direction = text.partition(" ")
    if field not in ORDERS or direction.upper() not in ("", "ASC", "DESC"):
        raise Invalid(
            f"orderBy must be one of {', '.join(ORDERS)}, then ASC or DESC, got {names.shortened(text)}",
            field="orderBy",
        )
    return field, direction.upper() == "DESC"
