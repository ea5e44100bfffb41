"""Bundles and their environments, made by the real uv from wheels that lie in a folder."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from services.builder.backends.bundle import BundleBackend
from services.core.errors import BuildFailed, Invalid, Unavailable
from services.core.ids import Digest
from services.core.records import BuildOrder, Bundle, FileEntry, Manifest
from services.kit.blobs import Blobs
from tests.parts import wait_until
from tests.services.builder.parts import GOOD, Lines, make_backend, make_harness, make_order, make_wheel


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All packages there are. The `.pth` file of `intruder` leaves a trace wherever it is executed."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("1.16.0", "1.17.0"):
        make_wheel(folder, "six", version, {"six.py": f"__version__ = {version!r}\n"})
    make_wheel(folder, "needs_six", "1.0", {"needs_six.py": "import six\n"}, ["six<1.17"])
    for name in ("made_once", "cancelled"):
        make_wheel(folder, name, "1.0", {f"{name}.py": ""})
    trace = folder / "executed"
    intrusive = f"import pathlib; pathlib.Path({str(trace)!r}).touch()\n"
    make_wheel(folder, "intruder", "1.0", {"intruder.pth": intrusive, "broken.py": "def (:\n"})
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that most tests find their environment already made."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def blobs(home: Path) -> Blobs:
    return Blobs(f"file://{home}/blobs")


@pytest.fixture
def backend(home: Path, wheels: Path, blobs: Blobs) -> BundleBackend:
    return make_backend(home, blobs, **offline(wheels, home))


def offline(wheels: Path, home: Path) -> dict[str, str]:
    return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": str(wheels), "UV_CACHE_DIR": str(home / "cache")}


async def build(backend: BundleBackend, order: BuildOrder, folder: Path) -> tuple[Digest, str]:
    """The artifact and the log."""
    lines = Lines()
    work = folder / "work"
    work.mkdir()
    try:
        async with lines.log.opened():
            artifact = await backend.build(order, work, lines.log)
    finally:
        shutil.rmtree(work)
    return artifact, lines.text


async def failure(backend: BundleBackend, order: BuildOrder, folder: Path) -> str:
    with pytest.raises((BuildFailed, Invalid)) as caught:
        await build(backend, order, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def printed(python: Path, program: str) -> str:
    return subprocess.run([python, "-B", "-c", program], check=True, capture_output=True, text=True).stdout


async def members(blobs: Blobs, artifact: Digest) -> list[tarfile.TarInfo]:
    bundle = await blobs.get_document(artifact, Bundle)
    return tarfile.open(fileobj=io.BytesIO(await blobs.get(bundle.files))).getmembers()


async def test_a_bundle_has_the_files_and_an_environment_that_runs(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD, "data/été.csv": "1,2"}, requirements="needs-six")
    artifact, log = await build(backend, order, tmp_path)
    bundle = await blobs.get_document(artifact, Bundle)
    assert [member.name for member in await members(blobs, artifact)] == ["data/été.csv", "model.py"]
    assert b"six==1.16.0" in await blobs.get(bundle.lock)
    assert bundle.harness_version == "0.1.0"
    python = backend.environments.folder / bundle.environment / "bin" / "python"
    program = "import os, modelway_harness, needs_six, six; print(six.__version__, os.path.exists(six.__cached__))"
    version, has_bytecode = printed(python, program).split()
    assert (version, has_bytecode) == ("1.16.0", "True")
    assert "six==1.16.0" in log


async def test_the_same_order_ends_in_the_same_artifact_and_code_alone_reuses_the_environment(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    first, _ = await build(backend, await make_order(blobs, {"model.py": GOOD}), tmp_path)
    again, log = await build(backend, await make_order(blobs, {"model.py": GOOD}), tmp_path)
    other, _ = await build(backend, await make_order(blobs, {"model.py": GOOD + "\n"}), tmp_path)
    assert first == again != other
    assert "the lock of this environment revision is used" in log
    assert "is reused" in log


async def test_the_lock_of_a_revision_stays_when_the_index_has_newer_versions(
    backend: BundleBackend, blobs: Blobs, wheels: Path, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, environment_revision_id="a1" * 12, requirements="six")
    first, _ = await build(backend, order, tmp_path)
    newer = make_wheel(wheels, "six", "1.18.0", {"six.py": ""})
    try:
        again, _ = await build(backend, order, tmp_path)
    finally:
        newer.unlink()
    assert again == first


async def test_the_environment_may_be_read_by_everyone_and_written_by_its_owner(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    mask = os.umask(0o077)
    try:
        order = await make_order(blobs, {"model.py": GOOD}, requirements="six==1.17.0")
        artifact, _ = await build(backend, order, tmp_path)
    finally:
        os.umask(mask)
    bundle = await blobs.get_document(artifact, Bundle)
    for path in (backend.environments.folder / bundle.environment).rglob("*"):
        mode = path.stat().st_mode
        assert mode & 0o044 == 0o044, path
        assert mode & 0o022 == 0, path


async def test_nothing_of_a_package_is_executed(
    backend: BundleBackend, blobs: Blobs, wheels: Path, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, requirements="intruder")
    artifact, _ = await build(backend, order, tmp_path)
    assert not (wheels / "executed").exists()
    bundle = await blobs.get_document(artifact, Bundle)
    python = backend.environments.folder / bundle.environment / "bin" / "python"
    printed(python, "pass")
    assert (wheels / "executed").exists(), "the package would have left a trace"


async def test_an_environment_that_was_left_half_made_or_lost_its_interpreter_is_made_anew(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, requirements="six==1.16.0")
    artifact, _ = await build(backend, order, tmp_path)
    bundle = await blobs.get_document(artifact, Bundle)
    place = backend.environments.folder / bundle.environment
    (place / "bin" / "python").unlink()
    half_made = backend.environments.folder / f".{bundle.environment}.00000000.partial"
    half_made.mkdir()
    backend.environments.sweep()
    assert not half_made.exists()
    again, log = await build(backend, order, tmp_path)
    assert again == artifact
    assert "is being made" in log
    assert (place / "bin" / "python").exists()
    assert not list(backend.environments.folder.glob("*.partial"))


async def test_two_builds_of_one_environment_at_once_make_it_once(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, requirements="made-once")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = await asyncio.gather(*(build(backend, order, folder) for folder in folders))
    assert one[0] == two[0]
    assert sorted("is being made" in log for _, log in (one, two)) == [False, True]


async def test_a_build_that_is_cancelled_leaves_nothing_and_the_next_one_succeeds(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, requirements="cancelled")
    backend.environments.folder.mkdir(exist_ok=True)
    building = asyncio.create_task(build(backend, order, tmp_path))
    await wait_until(lambda: any(backend.environments.folder.glob(".*.partial")))
    building.cancel()
    await asyncio.wait({building})
    assert not list(backend.environments.folder.glob(".*.partial"))
    await build(backend, order, tmp_path)


async def test_a_changed_harness_makes_another_environment(
    backend: BundleBackend, blobs: Blobs, home: Path, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD})
    old, _ = await build(backend, order, tmp_path)
    wheel = make_harness(tmp_path, version="0.2.0")
    new, _ = await build(replace(backend, harness_wheel=wheel), order, tmp_path)
    bundles = [await blobs.get_document(artifact, Bundle) for artifact in (old, new)]
    assert [bundle.harness_version for bundle in bundles] == ["0.1.0", "0.2.0"]
    assert bundles[0].environment != bundles[1].environment


async def test_given_hashes_are_kept_to(backend: BundleBackend, blobs: Blobs, tmp_path: Path) -> None:
    wrong = await make_order(blobs, {"model.py": GOOD}, requirements=f"six==1.17.0 --hash=sha256:{'0' * 64}")
    assert "no wheel in the package index has one of its hashes" in await failure(backend, wrong, tmp_path)


@pytest.mark.parametrize(
    ("requirements", "reason"),
    [
        ("six==99", "requirement 'six==99' does not resolve: "),
        ("six\nno-such-thing", "requirement 'no-such-thing' does not resolve: the package index has no package"),
        ("needs-six\nsix==1.17.0", "requirements 'needs-six', 'six==1.17.0' do not resolve together: "),
        ("--index-url http://x/", "requirements line 1: '--index-url http://x/' is an option, which is not allowed"),
        ("modelway-harness", "'modelway-harness' is installed by the platform"),
    ],
)
async def test_requirements_that_do_not_resolve_are_told_in_a_sentence(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, requirements: str, reason: str
) -> None:
    order = await make_order(blobs, {"model.py": GOOD}, requirements=requirements)
    assert reason in await failure(backend, order, tmp_path)


@pytest.mark.parametrize(
    ("files", "changes", "reason"),
    [
        ({"model.py": GOOD}, {"file": "Model.py"}, "file 'Model.py' is not in the project; did you mean 'model.py'?"),
        ({"src/model.py": GOOD}, {}, "file 'model.py' is not in the project; did you mean 'src/model.py'?"),
        ({"a.txt": ""}, {}, "file 'model.py' is not in the project"),
        (
            {"model.txt": ""},
            {"file": "model.txt"},
            "file 'model.txt' is neither Python nor R: its name must end in .py, or in .R, or be an MLmodel, "
            "unless `language` (--language) says what it is written in",
        ),
        ({"model.py": GOOD}, {"exclude_files": ("*.py",)}, "file 'model.py' is left out of the version by"),
        ({"model.py": GOOD, ".modelignore": "model.py"}, {}, "file 'model.py' is left out of the version by"),
        ({"model.py": GOOD, ".modelignore": "fine\n!\n"}, {}, ".modelignore line 2: '!' is not a pattern"),
        ({"model.py": GOOD, ".modelignore": b"\xff"}, {}, ".modelignore is not UTF-8"),
        ({"model.py": "def predict(:"}, {}, "model.py:1: syntax error: invalid syntax"),
        ({"model.py": "x = 1"}, {}, "model.py: function 'predict' is not defined at the top level"),
        ({"model.py": GOOD}, {"function": "predic"}, "did you mean 'predict'?"),
        ({"model.py": GOOD, "../x": ""}, {}, "the path '../x' has a '..' in it"),
        ({"model.py": GOOD, "/x": ""}, {}, "the path '/x' is absolute"),
        ({"model.py": GOOD}, {"snapshot": "f" * 64}, "the project's snapshot is not in the store"),
    ],
)
async def test_a_project_that_cannot_be_a_version_is_told_in_a_sentence(
    backend: BundleBackend,
    blobs: Blobs,
    tmp_path: Path,
    files: dict[str, str | bytes],
    changes: dict[str, object],
    reason: str,
) -> None:
    assert reason in await failure(backend, await make_order(blobs, files, **changes), tmp_path)


@pytest.mark.parametrize("lost", ["model.py", "data.csv"])
async def test_a_file_whose_content_is_lost_is_named(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, lost: str
) -> None:
    there = await blobs.put(GOOD.encode())
    entries = tuple(
        FileEntry(path=path, mode=0o644, size_bytes=3, digest=Digest("9" * 64) if path == lost else there)
        for path in ("data.csv", "model.py")
    )
    snapshot = await blobs.put_document(Manifest(files=entries))
    order = await make_order(blobs, {}, snapshot=snapshot)
    assert await failure(backend, order, tmp_path) == f"the content of {lost!r} is not in the store"


async def test_a_pattern_that_would_take_hours_ends_the_build(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.builder.snapshot.CHECK_S", 1.0)
    order = await make_order(blobs, {"model.py": GOOD, "a" * 200: ""}, exclude_files=("*a" * 12 + "b",))
    assert "take too long" in await failure(backend, order, tmp_path)


async def test_files_keep_their_execute_bit_and_nothing_else_of_where_they_come_from(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    digest, big = await blobs.put(GOOD.encode()), await blobs.put(b"x" * 3_000_000)
    entries = (
        FileEntry(path="run.sh", mode=0o4777, size_bytes=len(GOOD), digest=digest),
        FileEntry(path="one.bin", mode=0o600, size_bytes=3_000_000, digest=big),
        FileEntry(path="two.bin", mode=0o600, size_bytes=3_000_000, digest=big),
        FileEntry(path="model.py", mode=0o600, size_bytes=len(GOOD), digest=digest),
    )
    snapshot = await blobs.put_document(Manifest(files=entries))
    artifact, _ = await build(backend, await make_order(blobs, {}, snapshot=snapshot), tmp_path)
    found = await members(blobs, artifact)
    assert [(m.name, m.mode, m.mtime, m.uid, m.gid, m.uname) for m in found] == [
        ("model.py", 0o644, 0, 0, 0, ""),
        ("one.bin", 0o644, 0, 0, 0, ""),
        ("run.sh", 0o755, 0, 0, 0, ""),
        ("two.bin", 0o644, 0, 0, 0, ""),
    ]
    assert [m.size for m in found] == [len(GOOD), 3_000_000, len(GOOD), 3_000_000]


async def test_a_missing_interpreter_or_harness_is_a_passing_trouble_with_a_name(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.py": GOOD})
    with pytest.raises(Unavailable, match="MODEL_PYTHON"):
        await build(replace(backend, model_python=Path("/no/python")), order, tmp_path)
    with pytest.raises(Unavailable, match="HARNESS_WHEEL"):
        await build(replace(backend, harness_wheel=tmp_path / "none.whl"), order, tmp_path)
