"""Blobs: what a commit or a version needs is never taken away; what nothing needs is, once its grace is over."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from services.api.collector import Collector
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL, PROJECT
from services.core.commands import ArchiveModel, CommitSnapshot, CreateProject, RecordBuild
from services.core.errors import NotFound
from services.core.ids import AggregateId, Digest
from services.core.records import BuildPhase, BuildReport, Bundle, FileEntry, Manifest
from services.kit.blobs import Blobs
from services.kit.clock import now
from tests.makers import MODEL_ID, PERSON, create, publish, version_id

GRACE_S = 3600.0
PROJECT_ID = AggregateId("c" * 24)


class Scene:
    """A store of blobs with a database that refers to some of them."""

    def __init__(self, store: MongoStore, ledger: MongoLedger, folder: Path) -> None:
        self.folder = folder
        self.ledger = ledger
        self.blobs = Blobs(f"file://{folder}")
        self.collector = Collector(store, self.blobs, clock=now, grace_s=GRACE_S)

    def age(self) -> None:
        """Nothing that is stored was used within the grace."""
        at = (now() - timedelta(seconds=2 * GRACE_S)).timestamp()
        for path in (self.folder / "sha256").glob("*/*"):
            os.utime(path, (at, at))

    async def held(self) -> set[str]:
        return {each.name for each in await self.blobs.ages.held()}

    async def commit(self, content: bytes) -> set[Digest]:
        """The blobs of a commit of one file."""
        file = await self.blobs.put(content)
        entry = FileEntry(path="a.py", mode=0o644, size_bytes=len(content), digest=file)
        snapshot = await self.blobs.put_document(Manifest(files=(entry,)))
        project = CreateProject(owner_id=AggregateId(PERSON.id), owner_name="ada", name="iris")
        await self.ledger.execute(PROJECT, PROJECT_ID, project, actor=PERSON)
        commit = CommitSnapshot(commit_id=file[:24], snapshot=snapshot, files=1, size_bytes=len(content))
        await self.ledger.execute(PROJECT, PROJECT_ID, commit, actor=PERSON)
        return {file, snapshot}

    async def bundle(self, files: bytes) -> tuple[Digest, set[Digest]]:
        """The artifact, and all that it is made of."""
        tar, lock = await self.blobs.put(files), await self.blobs.put(b"lock of " + files)
        bundle = Bundle(files=tar, environment=Digest("e" * 64), lock=lock, python="3.11", harness_version="0.1")
        artifact = await self.blobs.put_document(bundle)
        return artifact, {tar, lock, artifact}

    async def publish(self) -> None:
        await self.ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
        await self.ledger.execute(MODEL, MODEL_ID, publish(1, should_deploy=False), actor=PERSON)

    async def report(self, artifact: Digest) -> None:
        report = BuildReport(
            model_id=MODEL_ID, version_id=version_id(1), attempt=1, phase=BuildPhase.COMPLETE, artifact=artifact
        )
        await self.ledger.execute(MODEL, MODEL_ID, RecordBuild(report=report), actor=PERSON)


@pytest.fixture
def scene(store: MongoStore, ledger: MongoLedger, tmp_path: Path) -> Scene:
    return Scene(store, ledger, tmp_path / "blobs")


async def test_what_an_upload_left_that_was_never_committed_goes_after_its_grace(scene: Scene) -> None:
    committed = await scene.commit(b"kept")
    orphan = await scene.blobs.put(b"orphan")
    assert (await scene.collector.collect()).count == 0
    scene.age()
    torn = scene.folder / "sha256" / orphan[:2] / f"{orphan}#1"
    torn.write_bytes(b"or")
    os.utime(torn, (0, 0))
    collected = await scene.collector.collect()
    assert (collected.count, collected.size_bytes) == (2, len(b"orphan") + 2)
    assert await scene.held() == committed


async def test_every_commit_of_a_project_keeps_its_files(scene: Scene) -> None:
    commits = await scene.commit(b"first") | await scene.commit(b"second")
    scene.age()
    assert (await scene.collector.collect()).count == 0
    assert await scene.held() == commits


async def test_a_version_keeps_what_it_is_made_of_also_when_its_model_is_archived_for_it_may_be_restored(
    scene: Scene,
) -> None:
    await scene.publish()
    artifact, parts = await scene.bundle(b"tar")
    await scene.report(artifact)
    await scene.blobs.put(b"nobody's")
    scene.age()
    await scene.ledger.execute(MODEL, MODEL_ID, ArchiveModel(), actor=PERSON)
    assert (await scene.collector.collect()).count == 1
    assert await scene.held() == parts


async def test_what_a_build_stored_is_kept_until_it_is_reported_however_long_that_takes(
    scene: Scene, store: MongoStore
) -> None:
    older = await scene.blobs.put(b"nobody's")
    scene.age()
    await scene.publish()
    artifact, parts = await scene.bundle(b"tar")
    much_later = Collector(store, scene.blobs, clock=lambda: now() + timedelta(days=9), grace_s=1.0)
    assert (await much_later.collect()).count == 1
    assert older not in await scene.held()
    assert await scene.held() == parts
    await scene.report(artifact)
    assert (await much_later.collect()).count == 0


async def test_nothing_goes_while_a_part_of_what_is_needed_cannot_be_read(scene: Scene) -> None:
    _, manifest = sorted(await scene.commit(b"kept"), key=lambda digest: len((_path(scene, digest)).read_bytes()))
    await scene.blobs.put(b"orphan")
    scene.age()
    _path(scene, manifest).unlink()
    with pytest.raises(NotFound):
        await scene.collector.collect()
    assert len(await scene.held()) == 2


def _path(scene: Scene, digest: Digest) -> Path:
    return scene.folder / "sha256" / digest[:2] / digest
