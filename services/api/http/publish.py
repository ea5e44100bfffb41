"""This file publishes: it turns what a person asks for into the commands that make a model and its versions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from services.api.configured import read_configuration, read_defaults, read_quotas
from services.api.http.body import Body
from services.api.http.callers import CALLER, actor
from services.api.http.environments import usable_environment
from services.api.http.intent import Intent, intent
from services.api.http.permits import Permits
from services.api.http.projects import LongText
from services.api.http.settings_body import SettingsBody, merged, wire_words
from services.api.http.shapes import says
from services.api.http.tokens import NewToken
from services.api.ports import Ledger, Store
from services.core import names, settings, snapshot
from services.core.access import Action
from services.core.aggregates import MODEL, PROJECT
from services.core.commands import CreateModel, PublishVersion
from services.core.configuration import Configuration, default_instances, defaults
from services.core.environment import Environment
from services.core.errors import Invalid, Refused
from services.core.events import Source
from services.core.ids import VersionId
from services.core.languages import MLFLOW_FUNCTION, Language, is_mlflow, language_of
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.project import Project
from services.core.quota import Quotas, taken
from services.core.settings import Defaults, Settings
from services.kit.vault import Vault

Pattern = Annotated[str, msgspec.Meta(max_length=1024, description="a pattern, as in a .gitignore file")]
Patterns = Annotated[tuple[Pattern, ...], msgspec.Meta(max_length=1000)]

EXAMPLE_BYTES = 16 * 1024
FIRST_TOKEN = "default"  # noqa: S105  # its name: a restricted model has one from the start


class SourceBody(Body, frozen=True, kw_only=True):
    """What is left out is as in the version before."""

    type: Annotated[str, says("File: a function in a file of the project", among=("File",))] = "File"
    file: Annotated[
        str | None, says("the path of the file in the project; it ends in .py or .R, or is an MLflow model's MLmodel")
    ] = None
    function: Annotated[
        str | None, says("the plain name of the function, as in predict; of an MLflow model it is predict")
    ] = None
    exclude_files: Annotated[Patterns | None, says("patterns of files to leave out, as in a .gitignore file")] = None
    language: Annotated[
        str | None,
        says(
            "what the file is written in; null, as left out: as its name tells, else as in the version before",
            among=("python", "r"),
        ),
    ] = None


class VersionBody(Body, frozen=True, kw_only=True):
    """A version to be published."""

    project_id: Annotated[
        str | None, says("the project whose files it is made from, by id; null, as left out: as in the version before")
    ] = None
    source: Annotated[SourceBody, says("what it calls; what is left out is as in the version before")] = SourceBody()
    log_http_request_response: Annotated[bool, says("kept with the version; it changes nothing yet")] = False
    monitoring_enabled: Annotated[bool, says("kept with the version; it changes nothing yet")] = False
    record_invocation: Annotated[bool, says("kept with the version; it changes nothing yet")] = False
    commit_id: Annotated[
        str | None, says("the snapshot of the project's files, by id; null, as left out: the newest")
    ] = None
    description: LongText = ""
    environment_id: Annotated[
        str | None,
        says("the compute environment, by id; null, as left out: as in the version before, else the model's"),
    ] = None
    should_deploy: Annotated[bool, says("whether it runs as soon as it is built")] = True
    example_input: Annotated[
        msgspec.Raw | UnsetType,
        says(
            "a whole request body that it answers, at most 16 KiB: a version that does not is never called; null, as "
            "left out: there is none"
        ),
    ] = UNSET


class ModelBody(SettingsBody, frozen=True, kw_only=True):
    """Of the settings, what is left out is as the platform's configuration says, else as the guide does."""

    name: Annotated[str, says("its name: printable, at most 100 characters", longest=100)]
    description: LongText = ""
    environment_id: Annotated[str, says("the compute environment, by id; empty: the platform's default")] = ""
    is_async: Annotated[bool, says("must be false: calls are answered while the caller waits")] = False
    strict_node_anti_affinity: Annotated[bool, says("must be false: all instances run on one machine")] = False
    is_restricted: Annotated[bool, says("whether a call needs an access token: then it has one from the start")] = True
    is_public: Annotated[bool, says("whether anyone with an account can find and view it")] = False
    version: Annotated[VersionBody, says("its first version, of which projectId, file and function are required")]


class Publisher:
    """Creates models and publishes versions."""

    def __init__(self, store: Store, ledger: Ledger, permits: Permits, *, tokens: Vault, variables: Vault) -> None:
        self._store = store
        self._ledger = ledger
        self._permits = permits
        self._tokens = tokens
        self._variables = variables

    async def create(self, request: web.Request, body: ModelBody) -> Model:
        """The caller's new model with its first version and, when it is restricted, an access token.

        Three commands, each stored whole. What is wrong with the body is found before the first of them; a crash in
        between leaves a model without a token or a version, and the same request with the same `Idempotency-Key`
        completes it. Raises Forbidden, and NotFound for a project or an environment that the caller may not know of.
        """
        _refuse_unsupported(body)
        if not body.version.project_id:
            raise Invalid("version.projectId is required", field="version.projectId")
        project = await self._store.load(PROJECT, body.version.project_id)
        await self._permits.require(request, Action.CREATE_MODEL, project)
        once, by = intent(request), actor(request)
        if project.is_archived:
            raise Refused(f"project {project.name!r} is archived: restore it first")
        environment = await self.environment(request, body.environment_id)
        configuration, quotas = await read_configuration(self._store), await read_quotas(self._store)
        command = CreateModel(
            name=names.check_model_name(body.name),
            description=body.description,
            owner_id=request[CALLER].id,
            project_id=project.id,
            environment_id=environment.id,
            settings=_settings(body, configuration, quotas, self._variables),
            defaults=defaults(configuration),
            is_restricted=body.is_restricted,
            is_public=body.is_public,
        )
        base = _Base(project_id=project.id, environment_id=environment.id, prefix="version.")
        source = await self._source(request, body.version, base, project)
        _check_language(command.settings, source)
        version = _command(body.version, source, once, command.defaults, prefix=base.prefix)
        model_id = once.new_id("model")
        await self._ledger.execute(MODEL, model_id, command, actor=by, command_id=once.command_id("create"))
        if body.is_restricted:
            token = NewToken.make(once, FIRST_TOKEN)
            await self._ledger.execute(
                MODEL,
                model_id,
                token.creation,
                actor=by,
                command_id=once.command_id("token"),
                secrets=token.sealed(self._tokens),
            )
        return await self._ledger.execute(MODEL, model_id, version, actor=by, command_id=once.command_id("publish"))

    async def publish(self, request: web.Request, model: Model, body: VersionBody) -> tuple[Model, Version]:
        """The model and its new version; what the body leaves out is as in the newest one.

        Files of another project than the model's take somebody who works on that one. Raises as `create` does.
        """
        last = model.versions[-1].source if model.versions else None
        base = _Base(
            project_id=last.project_id if last is not None else model.project_id,
            environment_id=last.environment_id if last is not None else model.environment_id,
            source=last,
        )
        project = await self._store.load(PROJECT, body.project_id or base.project_id)
        if project.id != model.project_id:
            await self._permits.require(request, Action.PUBLISH_FILES, project)
        once = intent(request)
        source = await self._source(request, body, base, project)
        _check_language(model.settings, source)
        command = _command(body, source, once, await read_defaults(self._store))
        after = await self._ledger.execute(
            MODEL, model.id, command, actor=actor(request), command_id=once.command_id("publish")
        )
        return after, after.version(command.version_id)

    async def environment(self, request: web.Request, environment_id: str, *, known: str = "") -> Environment:
        """See `environments.usable_environment`."""
        return await usable_environment(request, self._store, self._permits, environment_id, known=known)

    async def _source(self, request: web.Request, body: VersionBody, base: _Base, project: Project) -> Source:
        """Everything a version is made from, as it is at this moment."""
        if body.source.type != "File":
            field = f"{base.prefix}source.type"
            raise Invalid(f"{field} must be File, got {names.shortened(body.source.type)}", field=field)
        file = body.source.file or (base.source.file if base.source is not None else "")
        function = body.source.function or (base.source.function if base.source is not None else "")
        if is_mlflow(file):
            function = body.source.function or MLFLOW_FUNCTION
        language = _language(body.source, base, file)
        inherited = base.source.exclude_files if base.source is not None else ()
        environment = await self.environment(request, body.environment_id or "", known=base.environment_id)
        committed = project.snapshot(body.commit_id or None)
        return Source(
            project_id=project.id,
            user_name=project.owner_name,
            project_name=project.name,
            commit_id=committed.commit_id,
            snapshot=committed.snapshot,
            file=snapshot.check_script(
                _required(file, f"{base.prefix}source.file"), language, field=f"{base.prefix}source.file"
            ),
            language=language,
            function=names.check_function(
                _required(function, f"{base.prefix}source.function"), field=f"{base.prefix}source.function"
            ),
            exclude_files=inherited if body.source.exclude_files is None else body.source.exclude_files,
            environment_id=environment.id,
            environment_revision_id=environment.latest.id,
            requirements=environment.latest.requirements,
        )


class _Base(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is where its body says nothing."""

    project_id: str
    environment_id: str
    source: Source | None = None
    prefix: str = ""  # where the version stands in the body, for sentences


def _language(body: SourceBody, base: _Base, file: str) -> Language | None:
    """What the file is said to be written in, now or, where its name does not tell, with the version before."""
    if body.language is not None or base.source is None or language_of(file) is not None:
        return snapshot.check_language(body.language, field=f"{base.prefix}source.language")
    return base.source.language


def _command(
    body: VersionBody, source: Source, once: Intent, defaults: Defaults, *, prefix: str = ""
) -> PublishVersion:
    return PublishVersion(
        version_id=VersionId(once.new_id("version")),
        source=source,
        description=body.description,
        logs_requests=body.log_http_request_response,
        monitoring_enabled=body.monitoring_enabled,
        records_invocations=body.record_invocation,
        should_deploy=body.should_deploy,
        example_input=_example(body.example_input, f"{prefix}exampleInput"),
        defaults=defaults,
    )


def _example(given: msgspec.Raw | UnsetType, field: str) -> str:
    """The JSON as it was sent: numbers keep their digits. Left out, or null: there is none."""
    text = b"null" if given is UNSET else bytes(given).strip()
    if len(text) > EXAMPLE_BYTES:
        raise Invalid(f"{field} may have at most {EXAMPLE_BYTES} bytes, got {len(text)}", field=field)
    return "" if text == b"null" else text.decode()


def _check_language(known: Settings, source: Source) -> None:
    with wire_words():
        settings.check_memory(known, source.written_in)
        settings.check_effect(known, source.written_in)


def _settings(body: ModelBody, configuration: Configuration, quotas: Quotas, vault: Vault) -> Settings:
    """The settings of a new model, within their bounds. Where the body names no quota it takes the default one."""
    usual = Settings(instances=default_instances(configuration))
    if body.resource_quota_id is UNSET and quotas.default is not None:
        usual = taken(usual, quotas.default)
    with wire_words():
        return settings.check(merged(usual, body, quotas=quotas, vault=vault), defaults(configuration))


def _required(value: str, field: str) -> str:
    if not value:
        raise Invalid(f"{field} is required", field=field)
    return value


def _refuse_unsupported(body: ModelBody) -> None:
    if body.is_async:
        raise Invalid("isAsync must be false: calls are answered while the caller waits", field="isAsync")
    if body.strict_node_anti_affinity:
        field = "strictNodeAntiAffinity"
        raise Invalid(f"{field} must be false: all instances run on one machine", field=field)
