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
    DescribeModel,
    ModelCommand,
    RecordBuild,
    RecordReady,
    RecordStopped,
    StartVersion,
    StopVersion,
)
from services.core.events import Entry
from services.core.ids import AggregateId, CommandId, Digest
from services.core.model import Model
from services.core.records import BuildPhase, BuildReport
from services.kit.clock import now
from tests.makers import PERSON, create, publish, version_id

_AT_ONCE = 100  # more events at once outgrow the small cache of the embedded database


def model_of(number: int) -> AggregateId:
    return AggregateId(f"{number:024x}")


def published(number: int) -> list[ModelCommand]:
    """Model `number` with a version that waits to be built."""
    created = create(name=f"model-{number:05}", description="one of many")
    return [created, publish(number)]


def built(number: int, phase: BuildPhase = BuildPhase.COMPLETE) -> BuildReport:
    artifact = Digest("d" * 64) if phase is BuildPhase.COMPLETE else None
    return BuildReport(
        model_id=model_of(number), version_id=version_id(number), attempt=1, phase=phase, artifact=artifact
    )


def busy(number: int) -> Iterator[ModelCommand]:
    """The endless life of model `number`: built, then started, stopped and described again and again."""
    version = version_id(number)
    yield from published(number)
    yield RecordBuild(report=built(number))
    for generation in count(1):
        if generation > 1:
            yield StartVersion(version_id=version)
        yield RecordReady(version_id=version, generation=generation)
        yield DescribeModel(
            name=f"model-{number:05}",
            description=f"in its generation {generation}",
            environment_id=AggregateId("9" * 24),
            instances=1 + generation % 2,
        )
        yield StopVersion(version_id=version)
        yield RecordStopped(version_id=version, generation=generation)


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
            actor=PERSON,
        )
        model = fold(MODEL, fresh, model)
        yield from fresh


def busy_history(number: int, events: int) -> list[Entry]:
    """The first `events` entries of a busy life, which reaches up to now."""
    return list(islice(happened(number, busy(number), at=now() - timedelta(seconds=events)), events))


def many_versions(number: int, versions: int) -> list[Entry]:
    """The life of a model that got a version after another, each built."""
    created, first = published(number)
    commands: list[ModelCommand] = [created]
    for place in range(versions):
        version = version_id(place)
        commands.append(replace(first, version_id=version))
        commands.append(RecordBuild(report=replace(built(number), version_id=version)))
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
