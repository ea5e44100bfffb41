"""Environments that are needed and not there are made again, the newest first; what cannot be made holds up nobody."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from services.builder.backends.bundle import BundleBackend
from services.builder.build_log import BuildLog
from services.builder.environment import Environments
from services.builder.lock import Locksmith
from services.builder.r_environment import REnvironments
from services.builder.r_install import RInstaller
from services.builder.r_lock import RLocksmith
from services.builder.r_repository import Repository
from services.builder.remaker import Remaker
from services.core.errors import BuildFailed, Unavailable
from services.core.ids import AggregateId, Digest
from services.core.records import Build, Bundle
from services.kit.blobs import Blobs
from tests.makers import START, version_id


class Needed:
    """What is needed, as the test says."""

    def __init__(self) -> None:
        self.builds: list[Build] = []

    def needed(self) -> list[Build]:
        return self.builds


class Scene:
    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blobs = Blobs(f"file://{folder}/blobs")
        environments = Environments(folder / "environments", Path("/uv"), {})
        repository = Repository(None, {})
        self.backend = BundleBackend(
            blobs=self.blobs,
            locksmith=Locksmith(self.blobs, Path("/uv"), {}),
            environments=environments,
            harness_wheel=Path("/wheel"),
            model_python=Path("/python"),
            environ={},
            r_locksmith=RLocksmith(self.blobs, repository),
            r_environments=REnvironments(environments, repository, RInstaller(folder, {}), {}),
        )
        self.needed = Needed()
        self.remade: list[str] = []
        self.troubles: dict[str, Exception] = {}
        self.folder = folder
        monkeypatch.setattr(BundleBackend, "remake", lambda _, bundle, work, log: self.remake(bundle, work, log))
        self.remaker = Remaker(self.backend, self.needed, build_dir=folder)

    async def remake(self, bundle: Bundle, work: Path, log: BuildLog) -> None:
        log.say("is being made")
        assert work.parent == self.folder
        self.remade.append(bundle.environment[0])
        if bundle.environment[0] in self.troubles:
            raise self.troubles[bundle.environment[0]]
        self.put(bundle.environment[0])

    def put(self, letter: str) -> None:
        """That environment is there."""
        binaries = self.folder / "environments" / (letter * 64) / "bin"
        binaries.mkdir(parents=True)
        (binaries / "python").touch()

    async def need(self, *letters: str) -> None:
        """Versions with these environments, each published after the one before."""
        for letter in letters:
            bundle = Bundle(
                files=Digest("1" * 64),
                environment=Digest(letter * 64),
                lock=Digest("2" * 64),
                python="3.11",
                harness_version="0.1",
            )
            number = len(self.needed.builds)
            build = Build(
                revision=1,
                model_id=AggregateId("b" * 24),
                version_id=version_id(number),
                published_at=START + timedelta(seconds=number),
                artifact=await self.blobs.put_document(bundle),
            )
            self.needed.builds.append(build)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


async def test_what_is_missing_is_made_once_the_newest_first_and_what_is_there_stays(scene: Scene) -> None:
    await scene.need("a", "b", "c", "b")
    scene.put("c")
    assert await scene.remaker.look()
    assert scene.remade == ["b", "a"]
    assert await scene.remaker.look()
    assert scene.remade == ["b", "a"]
    assert list(scene.folder.glob("remade-*")) == []


async def test_what_was_lost_later_is_made_again_too(scene: Scene) -> None:
    await scene.need("a")
    scene.put("a")
    await scene.remaker.look()
    (scene.folder / "environments" / ("a" * 64) / "bin" / "python").unlink()
    (scene.folder / "environments" / ("a" * 64) / "bin").rmdir()
    await scene.remaker.look()
    assert scene.remade == ["a"]


async def test_what_can_never_be_made_is_given_up_and_what_lacks_something_is_tried_again(scene: Scene) -> None:
    await scene.need("a", "b", "c")
    scene.troubles = {"c": BuildFailed("it takes Python 3.9"), "b": Unavailable("the index is away")}
    assert not await scene.remaker.look()
    assert scene.remade == ["c", "b", "a"]
    del scene.troubles["b"]
    assert await scene.remaker.look()
    assert scene.remade == ["c", "b", "a", "b"]


async def test_a_build_whose_artifact_is_lost_holds_up_nobody(scene: Scene) -> None:
    await scene.need("a", "b")
    newest = scene.needed.builds[-1].artifact
    assert newest is not None
    (scene.folder / "blobs" / "sha256" / newest[:2] / newest).unlink()
    assert await scene.remaker.look()
    assert scene.remade == ["a"]
