"""This file answers for the settings of a model: showing them, and changing some of them."""

from __future__ import annotations

from aiohttp import web

from services.api.configured import read_defaults, read_quotas
from services.api.http import views
from services.api.http.body import read
from services.api.http.callers import actor
from services.api.http.etags import check_if_match, etag
from services.api.http.intent import intent
from services.api.http.permits import about
from services.api.http.routes import API, Route, answer
from services.api.http.settings_body import SettingsBody, merged, wire_words
from services.api.ports import Ledger, Store
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.commands import ChangeSettings
from services.core.model import Model
from services.kit.vault import Vault

SETTINGS_AT = API + "/modelApis/{model}/settings"


class ModelSettings:
    """How a model's versions run."""

    def __init__(self, store: Store, ledger: Ledger, variables: Vault) -> None:
        self._store = store
        self._ledger = ledger
        self._variables = variables

    def routes(self) -> list[Route]:
        return [
            Route(
                "GET",
                SETTINGS_AT,
                self.show,
                Action.VIEW_SETTINGS,
                gives={200: views.ModelSettingsView},
                is_tagged=True,
            ),
            Route(
                "PUT",
                SETTINGS_AT,
                self.change,
                Action.CHANGE_SETTINGS,
                takes=SettingsBody,
                gives={200: views.ModelSettingsView},
                also=(404,),
                is_tagged=True,
            ),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """All settings of a Model API.

        With the ETag that a change may name, so that nobody's change is overwritten unseen.
        """
        model = about(request, MODEL)
        return answer(views.settings(model), headers={"ETag": etag(model.settings)})

    async def change(self, request: web.Request) -> web.Response:
        """Change settings of a Model API.

        What the body leaves out stays, also what somebody else changes at the same time. 412 when `If-Match` names
        other settings than there are by now.
        """
        body = await read(request, SettingsBody)
        defaults, quotas = await read_defaults(self._store), await read_quotas(self._store)
        before: Model | None = None

        def changed(model: Model) -> ChangeSettings:
            nonlocal before
            check_if_match(request, etag(model.settings), what="the settings")
            before = model
            settings = merged(model.settings, body, quotas=quotas, vault=self._variables)
            return ChangeSettings(settings=settings, defaults=defaults)

        with wire_words():
            after = await self._ledger.execute(
                MODEL,
                request.match_info["model"],
                changed,
                actor=actor(request),
                command_id=intent(request).command_id("settings"),
            )
        view = views.settings(after, restarted=_restarted(before or after, after))
        return answer(view, headers={"ETag": etag(after.settings)})


def _restarted(before: Model, after: Model) -> list[str]:
    """The versions whose instances are replaced because of what lies between the two."""
    generations = {version.id: version.generation for version in before.versions}
    return [
        version.id
        for version in after.versions
        if version.is_wanted and version.generation > generations.get(version.id, version.generation)
    ]
