"""This file creates, copies and archives projects for programs that know the older routes."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl

from aiohttp import web

from services.api.http import views
from services.api.http.body import Body, chunks, read
from services.api.http.callers import CALLER, actor
from services.api.http.intent import Intent, intent
from services.api.http.permits import Permits, about
from services.api.http.routes import Raw, Route, answer
from services.api.http.shapes import says
from services.api.http.views.projects import Project as ProjectView
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action
from services.core.aggregates import PROJECT
from services.core.commands import ArchiveProject, CommitSnapshot, CreateProject
from services.core.errors import Invalid, NotFound
from services.core.person import Person
from services.core.project import Project

FORM = Raw("application/x-www-form-urlencoded", "projectName, and ownerOverrideUsername where it is not the caller")
_FORM_BYTES = 16 * 1024


class ForkBody(Body, frozen=True, kw_only=True):
    """A copy of a project."""

    name: Annotated[str, says("the copy's name: letters, digits, '.', '_' and '-', at most 100")]


class OldProjects:
    """What they answer is 200: the programs that ask take nothing else for success."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits) -> None:
        self._store = store
        self._ledger = ledger
        self._permits = permits

    def routes(self) -> list[Route]:
        made = {200: ProjectView}
        return [
            Route("POST", "/project", self.create, Action.CREATE_PROJECT, takes=FORM, gives=made, also=(404, 422)),
            Route("POST", "/v4/projects/{project}/fork", self.fork, Action.VIEW_FILES, takes=ForkBody, gives=made),
            Route("DELETE", "/v4/projects/{project}", self.archive, Action.SHARE_PROJECT, gives={204: None}),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a private project, from the fields of a form.

        It is the caller's own, or that of the person they name.
        """
        raw = b"".join([chunk async for chunk in chunks(request, limit_bytes=_FORM_BYTES)])
        form = dict(parse_qsl(raw.decode("utf-8", "replace")))
        name = form.get("projectName", "")
        if not name:
            raise Invalid("projectName is required", field="projectName")
        owner = await self._owner(request, form.get("ownerOverrideUsername", ""))
        project = await self._create(request, _new(owner, name, field="projectName"), intent(request))
        return answer(views.project(project))

    async def fork(self, request: web.Request) -> web.Response:
        """Copy a project.

        A private project of the caller's own with the newest files of this one; what was before them stays here.
        """
        source = about(request, PROJECT)
        body = await read(request, ForkBody)
        once = intent(request)
        made = await self._create(request, _new(request[CALLER], body.name), once)
        if source.snapshots:
            made = await self._ledger.execute(
                PROJECT, made.id, _copied(source, once), actor=actor(request), command_id=once.command_id("commit")
            )
        return answer(views.project(made))

    async def archive(self, request: web.Request) -> web.Response:
        """Archive a project: lists leave it out."""
        await self._ledger.execute(
            PROJECT,
            about(request, PROJECT).id,
            ArchiveProject(),
            actor=actor(request),
            command_id=intent(request).command_id("archive"),
        )
        return web.Response(status=204)

    async def _create(self, request: web.Request, command: CreateProject, once: Intent) -> Project:
        return await self._ledger.execute(
            PROJECT, once.new_id("project"), command, actor=actor(request), command_id=once.command_id("create")
        )

    async def _owner(self, request: web.Request, user_name: str) -> Person:
        if user_name in ("", request[CALLER].user_name):
            return request[CALLER]
        owner = await self._store.find_person_by_name(user_name)
        if owner is None:
            raise NotFound(f"there is no person {names.shortened(user_name)}")
        await self._permits.require(request, Action.CHANGE_PERSON, owner)
        return owner


def _new(owner: Person, name: str, *, field: str = "name") -> CreateProject:
    return CreateProject(
        owner_id=owner.id, owner_name=owner.user_name, name=names.check_project_name(name, field=field)
    )


def _copied(source: Project, once: Intent) -> CommitSnapshot:
    newest = source.snapshot(None)
    return CommitSnapshot(
        commit_id=once.new_id("commit"),
        snapshot=newest.snapshot,
        files=newest.files,
        size_bytes=newest.size_bytes,
        message=f"copied from {source.owner_name}/{source.name}",
    )
