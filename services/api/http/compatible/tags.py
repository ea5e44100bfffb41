"""This file answers for the tags of projects: words that people find them by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import field

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.callers import WHO, actor
from services.api.http.intent import intent
from services.api.http.permits import Permits, about
from services.api.http.routes import Route, answer
from services.api.http.shapes import Id, Milliseconds, ProjectId, says
from services.api.http.views.projects import Tag as TagView
from services.api.http.views.wire import Answer
from services.api.ports import Ledger, Store
from services.core import names
from services.core.access import Action, Verdict, judge
from services.core.aggregates import PROJECT
from services.core.commands import AddTags, RemoveTag
from services.core.errors import NotFound
from services.core.events import Tag
from services.core.names import shortened
from services.core.project import MAX_TAGS, Project
from services.kit.ids import made_at_s, new_object_id

TAGS_AT = "/v4/projects/{project}/tags"

TagNames = Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_TAGS), says("words, each at most 100 characters")]


class TagsBody(Body, frozen=True, kw_only=True):
    """Words that a project shall have too."""

    tag_names: TagNames = ()


class TagDetails(Answer, frozen=True, kw_only=True):
    """A tag, and whose it is."""

    mongo_id: Id = field(name="_id")
    id: Id
    name: Annotated[str, says("the word itself")]
    project_id: ProjectId
    last_added: Annotated[Milliseconds, says("when the project was given it, epoch milliseconds, to the second")]


class ProjectTags:
    """Each project has its own: the same word on two projects is two tags."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits) -> None:
        self._store = store
        self._ledger = ledger
        self._permits = permits

    def routes(self) -> list[Route]:
        given = {200: tuple[TagView, ...]}
        return [
            Route("POST", TAGS_AT, self.add, Action.DESCRIBE_PROJECT, takes=TagsBody, gives=given),
            Route("DELETE", TAGS_AT + "/{tag}", self.remove, Action.DESCRIBE_PROJECT, gives={204: None}),
            Route("GET", "/projectTags/{tag}", self.show, Action.FIND_PROJECT, gives={200: TagDetails}, also=(404,)),
        ]

    async def add(self, request: web.Request) -> web.Response:
        """Give a project tags.

        The answer has the tags with these words, those that the project had already too.
        """
        body = await read(request, TagsBody)
        after = await self._ledger.execute(
            PROJECT,
            about(request, PROJECT).id,
            adding(body.tag_names),
            actor=actor(request),
            command_id=intent(request).command_id("tag"),
        )
        asked = set(body.tag_names)
        return answer([each for each in views.project(after).tags if each.name in asked])

    async def remove(self, request: web.Request) -> web.Response:
        """Take a tag off a project."""
        await self._ledger.execute(
            PROJECT,
            about(request, PROJECT).id,
            RemoveTag(tag_id=request.match_info["tag"]),
            actor=actor(request),
            command_id=intent(request).command_id("untag"),
        )
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.Response:
        """A tag, by its id alone, for those who may find its project."""
        tag_id = request.match_info["tag"]
        project = await self._store.find_project_by_tag(tag_id)
        if project is None:
            raise _no_tag(tag_id)
        standing = await self._permits.standing(request[WHO], project)
        if judge(standing, Action.FIND_PROJECT) is not Verdict.ALLOWED:
            raise _no_tag(tag_id)
        tag = next(each for each in project.tags if each.id == tag_id)
        return answer(_details(tag, project))


def adding(tag_names: Iterable[str]) -> AddTags:
    """What gives a project these tags. Raises Invalid for a word that will not do."""
    return AddTags(tags=tuple(Tag(id=new_object_id(), name=names.check_tag_name(name)) for name in tag_names))


def _details(tag: Tag, project: Project) -> TagDetails:
    return TagDetails(
        mongo_id=tag.id, id=tag.id, name=tag.name, project_id=project.id, last_added=made_at_s(tag.id) * 1000
    )


def _no_tag(tag_id: str) -> NotFound:
    return NotFound(f"there is no tag {shortened(tag_id)}")
