"""This file makes what the builder's tests build: a harness' wheel, projects, orders, and the backend itself."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from services.builder.backends.bundle import BundleBackend
from services.builder.build_log import BuildLog
from services.builder.command import clean_environment
from services.builder.environment import Environments
from services.builder.lock import Locksmith
from services.builder.r_environment import REnvironments
from services.builder.r_install import RInstaller
from services.builder.r_lock import RLocksmith
from services.builder.r_repository import Repository
from services.core.ids import AggregateId, VersionId
from services.core.records import BuildOrder, FileEntry, LogLine, Manifest
from services.kit.blobs import Blobs
from services.kit.config import Secret
from tests.parts import find_program

MODEL_ID = AggregateId("a" * 24)
VERSION_ID = VersionId("b" * 24)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
GOOD = "def predict(x):\n    return x\n"


def make_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], requires: Sequence[str] = ()) -> Path:
    """A small wheel with these files, good enough for every installer."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    wheel = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    members = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    members[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in (*members, f"{info}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member), content)  # without the time: equal wheels have equal digests
    return path


def make_harness(folder: Path, version: str = "0.1.0", requires: Sequence[str] = ("six>=1.16",)) -> Path:
    """A harness of almost nothing, which needs `six`."""
    return make_wheel(folder, "modelway_harness", version, {"modelway_harness.py": "READY = True\n"}, requires)


def make_backend(folder: Path, blobs: Blobs, *, r_repository: str | None = None, **environ: str) -> BundleBackend:
    """A backend with everything it keeps under `folder`."""
    uv = find_program("uv")
    assert uv is not None, "uv is not installed"
    passed = clean_environment({**os.environ, **environ})
    folder.mkdir(exist_ok=True)
    environments = Environments(folder / "environments", Path(uv), passed)
    repository = Repository(None if r_repository is None else Secret(r_repository), passed)
    return BundleBackend(
        blobs=blobs,
        locksmith=Locksmith(blobs, Path(uv), passed),
        environments=environments,
        harness_wheel=make_harness(folder),
        model_python=Path(sys.executable),
        environ=passed,
        r_locksmith=RLocksmith(blobs, repository),
        r_environments=REnvironments(environments, repository, RInstaller(environments.folder, passed), passed),
    )


async def make_order(blobs: Blobs, files: Mapping[str, str | bytes], **changes: object) -> BuildOrder:
    """An order for these files; `model.py` with `predict` unless said otherwise."""
    entries = []
    for path, content in sorted(files.items()):
        data = content.encode() if isinstance(content, str) else content
        entries.append(FileEntry(path=path, mode=0o644, size_bytes=len(data), digest=await blobs.put(data)))
    order = BuildOrder(
        model_id=MODEL_ID,
        version_id=VERSION_ID,
        version_number=1,
        snapshot=await blobs.put_document(Manifest(files=tuple(entries))),
        exclude_files=(),
        file="model.py",
        function="predict",
        environment_revision_id="c" * 24,
        requirements="",
        timeout_s=60.0,
    )
    return replace(order, **changes)


class Lines:
    """A build log that is kept."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.log = BuildLog(self._keep, lambda: NOW)

    async def _keep(self, lines: Sequence[LogLine]) -> None:
        self.lines.extend(lines)

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)
