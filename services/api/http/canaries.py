"""This file answers for what changes of traffic do: canaries while they are tried, and receipts of rollouts."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web

from services.api.configured import read_defaults
from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import actor
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.routes import API, Route, answer
from services.api.http.shapes import VersionId as VersionField
from services.api.ports import Ledger, Observed, Store
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.commands import AnyCommand, CompleteCanary, SetCanary, WithdrawCanary
from services.core.ids import VersionId

CANARIES_AT = API + "/modelApis/{model}/canaries"
CANARY_AT = CANARIES_AT + "/{label}"


class CanaryBody(Body, frozen=True, kw_only=True):
    """A version of the model to be tried."""

    version_id: VersionField
    share: Annotated[float, msgspec.Meta(ge=0, le=100, description="percent of the label's calls that it answers")]


class Canaries:
    """Versions that are tried on a share of a label's calls."""

    def __init__(self, store: Store, ledger: Ledger, observed: Observed, *, public_url: str) -> None:
        self._store = store
        self._ledger = ledger
        self._observed = observed
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route("GET", CANARIES_AT, self.index, Action.VIEW, gives={200: list[views.CanaryView]}),
            Route("PUT", CANARY_AT, self.put, Action.RUN_VERSION, takes=CanaryBody, gives={200: views.ModelApi}),
            Route("POST", CANARY_AT + "/complete", self.complete, Action.RUN_VERSION, gives={200: views.ModelApi}),
            Route("DELETE", CANARY_AT, self.withdraw, Action.RUN_VERSION, gives={200: views.ModelApi}),
            Route(
                "GET",
                API + "/modelApis/{model}/rollouts",
                self.rollouts,
                Action.VIEW,
                gives={200: list[views.RolloutView]},
            ),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """Versions of the model that are tried on a share of a label's calls."""
        model = about(request, MODEL)
        found = sorted(model.canaries.items())
        return answer([views.canary(model, label, each, self._observed.traffic) for label, each in found])

    async def put(self, request: web.Request) -> web.Response:
        """Try a version on a share of a label's calls, or change the share of the one that is tried."""
        body = await read(request, CanaryBody)
        command = SetCanary(
            label=request.match_info["label"],
            version_id=VersionId(body.version_id),
            share=body.share,
            defaults=await read_defaults(self._store),
        )
        return await self._order(request, command)

    async def complete(self, request: web.Request) -> web.Response:
        """Let the version that is tried answer all calls of the label."""
        return await self._order(request, CompleteCanary(label=request.match_info["label"]))

    async def withdraw(self, request: web.Request) -> web.Response:
        """End the trial: the label's calls go where they went before."""
        return await self._order(request, WithdrawCanary(label=request.match_info["label"]))

    async def rollouts(self, request: web.Request) -> web.Response:
        """Receipts of the last switches and restarts, newest first: what each cost the model's callers."""
        model = about(request, MODEL)
        return answer([views.rollout(model, receipt) for receipt in reversed(model.rollouts)])

    async def _order(self, request: web.Request, command: AnyCommand) -> web.Response:
        after = await self._ledger.execute(
            MODEL,
            request.match_info["model"],
            command,
            actor=actor(request),
            command_id=intent(request).command_id(type(command).__name__),
        )
        return answer(views.model(after, self._observed.seen, public_url=self._public_url))
