"""This file makes models with a past of any length, and stores them as api's ledger would have, only many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count, islice

from msgspec.structs import replace

from services.api.store.database import Database
from services.api.store.documents import link_document, plain
from services.core.aggregates import MODEL, entries, fold
from services.core.audit import GENESIS, chained
from services.core.commands import (
    CreateModel,
    DescribeModel,
    ModelCommand,
    PublishVersion,
    RecordBuild,
    RecordReady,
    RecordStopped,
    StartVersion,
    StopVersion,
)
from services.core.events import Actor, ActorKind, Entry, Source
from services.core.ids import AggregateId, CommandId, Digest, VersionId
from services.core.model import Model
from services.core.records import BuildPhase, BuildReport
from services.core.settings import Settings
from services.kit.clock import now

_ACTOR = Actor(kind=ActorKind.PERSON, id="a" * 24, name="ada")
_AT_ONCE = 100


def version_of(number: int) -> VersionId:
    """The id of the one version of model `number`."""
    return VersionId(f"{number:024x}")


def model_of(number: int) -> AggregateId:
    return AggregateId(f"{number:024x}")


def published(number: int) -> list[ModelCommand]:
    """Model `number` with a version that waits to be built."""
    source = Source(
        project_id=AggregateId("c" * 24),
        user_name="ada",
        project_name="growth",
        commit_id="e" * 24,
        snapshot=Digest("f" * 64),
        file="predict.py",
        function="predict",
        environment_id=AggregateId("9" * 24),
        environment_revision_id="8" * 24,
    )
    create = CreateModel(
        name=f"model-{number:05}",
        description="one of many",
        owner_id=AggregateId(_ACTOR.id),
        project_id=source.project_id,
        environment_id=source.environment_id,
        settings=Settings(instances=1),
    )
    return [create, PublishVersion(version_id=version_of(number), source=source)]


def built(number: int, phase: BuildPhase = BuildPhase.COMPLETE) -> BuildReport:
    artifact = Digest("d" * 64) if phase is BuildPhase.COMPLETE else None
    return BuildReport(
        model_id=model_of(number), version_id=version_of(number), attempt=1, phase=phase, artifact=artifact
    )


def busy(number: int) -> Iterator[ModelCommand]:
    """The endless life of model `number`: built, then started, stopped and described again and again."""
    version_id = version_of(number)
    yield from published(number)
    yield RecordBuild(report=built(number))
    for generation in count(1):
        if generation > 1:
            yield StartVersion(version_id=version_id)
        yield RecordReady(version_id=version_id, generation=generation)
        yield DescribeModel(
            name=f"model-{number:05}",
            description=f"in its generation {generation}",
            environment_id=AggregateId("9" * 24),
            instances=1 + generation % 2,
        )
        yield StopVersion(version_id=version_id)
        yield RecordStopped(version_id=version_id, generation=generation)


def happened(number: int, commands: Iterator[ModelCommand], *, at: datetime) -> Iterator[Entry]:
    """What model `number` went through, a second for each command, the first of them at `at`."""
    model: Model | None = None
    at = at.replace(microsecond=0)  # the database keeps milliseconds, and what is hashed has to be what is read back
    for place, command in enumerate(commands):
        fresh = entries(
            MODEL.name,
            model_of(number),
            MODEL.decide(model, command),
            after_revision=0 if model is None else model.revision,
            command_id=CommandId(f"{number}-{place}"),
            at=at + timedelta(seconds=place),
            actor=_ACTOR,
        )
        model = fold(MODEL, fresh, model)
        yield from fresh


def busy_history(number: int, events: int) -> list[Entry]:
    """The first `events` entries of a busy life, which reaches up to now."""
    return list(islice(happened(number, busy(number), at=now() - timedelta(seconds=events)), events))


def many_versions(number: int, versions: int) -> list[Entry]:
    """The life of a model that got a version after another, each built."""
    create, first = published(number)
    commands: list[ModelCommand] = [create]
    for place in range(versions):
        version_id = VersionId(f"{place:024x}")
        commands.append(replace(first, version_id=version_id))
        commands.append(RecordBuild(report=replace(built(number), version_id=version_id)))
    return list(happened(number, iter(commands), at=now() - timedelta(seconds=len(commands))))


async def store_history(database: Database, number: int, history: Sequence[Entry]) -> None:
    """As the ledger stores it; nothing is left in the outbox."""
    links = chained(history, head=GENESIS)
    for start in range(0, len(links), _AT_ONCE):
        await database["events"].insert_many(map(link_document, links[start : start + _AT_ONCE]))
    document = {
        "_id": model_of(number),
        "revision": len(links),
        "head": links[-1].hash,
        "state": plain(_state(history)),
    }
    await database["models"].insert_one(document)


def _state(history: Sequence[Entry]) -> Model:
    state = fold(MODEL, history)
    if state is None:
        raise ValueError("a history has at least one entry")
    return state
