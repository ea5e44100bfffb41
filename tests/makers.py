"""Values for tests: valid by default, changed by keyword where a test is about something."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec.structs import replace

from services.core.aggregates import MODEL, entries, fold
from services.core.commands import (
    Command,
    CreateModel,
    ModelCommand,
    PublishVersion,
    RecordBuild,
    RecordReady,
)
from services.core.decisions import decide
from services.core.events import Actor, ActorKind, Entry, Source
from services.core.ids import AggregateId, CommandId, Digest, InstanceId, VersionId
from services.core.model import Model
from services.core.records import (
    BuildPhase,
    BuildReport,
    Health,
    Instance,
    InstancePhase,
    Placement,
    PlacementPhase,
)
from services.core.settings import Settings

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PERSON = Actor(kind=ActorKind.PERSON, id="a" * 24, name="ada")
MODEL_ID = AggregateId("b" * 24)
ARTIFACT = Digest("d" * 64)


def version_id(number: int) -> VersionId:
    return VersionId(f"{number:024x}")


def source(**changes: object) -> Source:
    made = Source(
        project_id=AggregateId("c" * 24),
        user_name="ada",
        project_name="iris",
        commit_id="e" * 24,
        snapshot=Digest("f" * 64),
        file="predict.py",
        function="predict",
        environment_id=AggregateId("9" * 24),
        environment_revision_id="8" * 24,
    )
    return replace(made, **changes)


def create(**changes: object) -> CreateModel:
    made = CreateModel(
        name="iris",
        description="",
        owner_id=AggregateId(PERSON.id),
        project_id=AggregateId("c" * 24),
        environment_id=AggregateId("9" * 24),
        settings=Settings(instances=1),
    )
    return replace(made, **changes)


def publish(number: int, **changes: object) -> PublishVersion:
    return replace(PublishVersion(version_id=version_id(number), source=source()), **changes)


def built(number: int, phase: BuildPhase = BuildPhase.COMPLETE, *, attempt: int = 1) -> RecordBuild:
    report = BuildReport(
        model_id=MODEL_ID,
        version_id=version_id(number),
        attempt=attempt,
        phase=phase,
        artifact=ARTIFACT if phase is BuildPhase.COMPLETE else None,
        reason="file 'predict.py' is not in the project" if phase is BuildPhase.FAILED else "",
    )
    return RecordBuild(report=report)


def ready(number: int, generation: int = 1) -> RecordReady:
    return RecordReady(version_id=version_id(number), generation=generation)


class History:
    """A model and everything that happened to it, as api's ledger would write it."""

    def __init__(self, *commands: ModelCommand) -> None:
        self.entries: list[Entry] = []
        self.model: Model | None = None
        self._commands = count(1)
        self.do(*(commands or (create(),)))

    @property
    def state(self) -> Model:
        assert self.model is not None
        return self.model

    def do(self, *commands: Command) -> History:
        for command in commands:
            number = next(self._commands)
            fresh = entries(
                "model",
                MODEL_ID,
                decide(self.model, command),  # type: ignore[arg-type]
                after_revision=self.model.revision if self.model else 0,
                command_id=CommandId(f"command-{number}"),
                at=START + timedelta(seconds=number),
                actor=PERSON,
            )
            self.model = fold(MODEL, fresh, self.model)
            self.entries.extend(fresh)
        return self

    def events(self) -> list[str]:
        return [type(entry.event).__name__ for entry in self.entries]


def instance_id(number: int, generation: int = 1) -> InstanceId:
    return InstanceId(f"00000001-{generation}-{number}")


def instance(number: int, phase: InstancePhase = InstancePhase.RUNNING, *, generation: int = 1) -> Instance:
    return Instance(
        instance_id=instance_id(number, generation),
        phase=phase,
        addresses=(f"/run/{number}/w0.sock",),
        started_at=START,
    )


def placement(number: int = 1, *, instances: Iterable[Instance] = (), **changes: object) -> Placement:
    made = Placement(
        revision=1,
        deployer_id="local",
        model_id=MODEL_ID,
        version_id=version_id(number),
        generation=1,
        desired_revision=1,
        phase=PlacementPhase.RUNNING,
        instances=tuple(instances),
    )
    return replace(made, **changes)


def health(*numbers: int, is_ready: bool = True) -> dict[InstanceId, Health]:
    return {
        instance_id(number): Health(
            revision=1,
            instance_id=instance_id(number),
            version_id=version_id(1),
            is_ready=is_ready,
            failures=0 if is_ready else 1,
        )
        for number in numbers
    }
