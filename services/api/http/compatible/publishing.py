"""This file publishes for programs that send a model, or a version, as one flat body."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated

from aiohttp import web
from msgspec import structs

from services.api.http import views
from services.api.http.body import Body, read
from services.api.http.compatible.views import Built, Published, PublishedModel, PublishedVersion, built
from services.api.http.permits import about
from services.api.http.projects import LongText
from services.api.http.publish import ModelBody, Patterns, Publisher, SourceBody, VersionBody
from services.api.http.routes import Route, answer
from services.api.http.shapes import says
from services.api.ports import Observed
from services.core.access import Action
from services.core.aggregates import MODEL
from services.core.errors import Invalid


class FlatVersionBody(Body, frozen=True, kw_only=True):
    """What is left out, null or "" is as in the version before; of `excludeFiles`, [] is none."""

    project_id: Annotated[str | None, says("the project whose files it is made from, by id")] = None
    file: Annotated[str | None, says("the path of the file that holds its function")] = None
    function: Annotated[str | None, says("the plain name of the function")] = None
    exclude_files: Annotated[Patterns | None, says("patterns of files to leave out, as in a .gitignore file")] = None
    environment_id: Annotated[str | None, says("the compute environment, by id")] = None
    commit_id: Annotated[str | None, says("the snapshot of the project's files, by id; left out: the newest")] = None
    description: Annotated[LongText | None, says("what people should know of it, at most 10,000 characters")] = None

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

    name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]

    def model(self) -> ModelBody:
        return ModelBody(
            name=self.name,
            description=self.description or "",
            environment_id=self.environment_id or "",
            version=self.version(),
        )


class BuildBody(Body, frozen=True, kw_only=True):
    """A model of which the first version is built, and does not run."""

    model_name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]
    description: Annotated[LongText | None, says("what people should know of it, at most 10,000 characters")] = None
    project_id: Annotated[str | None, says("the project whose files it is made from, by id")] = None
    inference_function_file: Annotated[str | None, says("the path of the file that holds its function")] = None
    inference_function_to_call: Annotated[str | None, says("the plain name of the function")] = None
    environment_id: Annotated[str | None, says("the compute environment, by id; null: the platform's default")] = None
    commit_id: Annotated[str | None, says("the snapshot of the project's files, by id; null: the newest")] = None
    exclude_files: Annotated[Patterns | None, says("patterns of files to leave out, as in a .gitignore file")] = None
    log_http_request_response: Annotated[bool, says("kept with the version; it changes nothing yet")] = False

    def model(self) -> ModelBody:
        source = SourceBody(
            file=self.inference_function_file,
            function=self.inference_function_to_call,
            exclude_files=self.exclude_files,
        )
        version = VersionBody(
            project_id=self.project_id,
            source=source,
            commit_id=self.commit_id,
            description=self.description or "",
            log_http_request_response=self.log_http_request_response,
            should_deploy=False,
        )
        return ModelBody(
            name=self.model_name,
            description=self.description or "",
            environment_id=self.environment_id or "",
            version=version,
        )


_BUILD_WORDS = {"file": "inferenceFunctionFile", "function": "inferenceFunctionToCall", "name": "modelName"}


class FlatPublishing:
    """Models and versions that are built and run as soon as they are published, unless only building is asked for."""

    def __init__(self, observed: Observed, publisher: Publisher, *, public_url: str) -> None:
        self._observed = observed
        self._publisher = publisher
        self._public_url = public_url

    def routes(self) -> list[Route]:
        return [
            Route(
                "POST",
                "/v1/models",
                self.publish_model,
                Action.CREATE_MODEL,
                takes=FlatModelBody,
                gives={201: Published},
                also=(404,),
            ),
            Route(
                "POST",
                "/v1/models/{model}/versions",
                self.publish_version,
                Action.PUBLISH_VERSION,
                takes=FlatVersionBody,
                gives={201: PublishedVersion},
            ),
            Route(
                "POST",
                "/v4/models/buildModelImage",
                self.build,
                Action.CREATE_MODEL,
                takes=BuildBody,
                gives={200: Built},
                also=(404,),
            ),
        ]

    async def publish_model(self, request: web.Request) -> web.Response:
        """Publish a Model API with its first version."""
        body = await read(request, FlatModelBody)
        with flat_words():
            model = await self._publisher.create(request, body.model())
        view = views.model(model, self._observed.seen, public_url=self._public_url)
        published = PublishedModel(**structs.asdict(view), mongo_id=model.id)
        return answer(Published(data=published), status=201, at=views.model_at(model.id))

    async def publish_version(self, request: web.Request) -> web.Response:
        """Publish a new version of a Model API.

        What is left out is as in the version before.
        """
        body = await read(request, FlatVersionBody)
        with flat_words():
            after, version = await self._publisher.publish(request, about(request, MODEL), body.version())
        at = views.version_at(after.id, version.id)
        return answer(PublishedVersion(id=version.id, number=version.number), status=201, at=at)

    async def build(self, request: web.Request) -> web.Response:
        """Make a Model API and build its first version, which does not run until it is started.

        Scripts take 200 for success, and nothing else.
        """
        body = await read(request, BuildBody)
        with flat_words(_BUILD_WORDS):
            model = await self._publisher.create(request, body.model())
        return answer(built(model, model.versions[-1]))


@contextlib.contextmanager
def flat_words(words: Mapping[str, str] = {}) -> Iterator[None]:
    """Faults name the field as it was sent: `file`, and not `version.source.file`; `words`: what else it is called."""
    try:
        yield
    except Invalid as error:
        field = error.field or ""
        if not error.reason.startswith(field):
            raise
        plain = field.rpartition(".")[2]
        name = words.get(plain, plain)
        raise Invalid(name + error.reason.removeprefix(field), field=name or None) from None
