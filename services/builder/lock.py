"""This file makes an environment revision's lock: every package with its version and hashes, once and for all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.builder.basis import Harness, Interpreter
from services.builder.build_log import BuildLog
from services.builder.command import FULL, NO_ROOM, Tail, run
from services.builder.requirements import Wanted, narrowed, parse_requirements
from services.builder.resolution import resolution_error
from services.core.errors import Invalid, Unavailable
from services.core.ids import is_bus_token
from services.core.languages import is_mlflow
from services.core.records import BuildOrder
from services.kit.blobs import Blobs

RESOLVE = (
    *("pip", "compile", "--quiet", "--only-binary=:all:", "--generate-hashes"),
    *("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"),
)


@dataclass(frozen=True)
class Locksmith:
    """Makes locks with `uv`, in `environ`, and keeps them in `blobs`, where the first one made for a revision stays."""

    blobs: Blobs
    uv: Path
    environ: Mapping[str, str]

    async def lock(
        self, order: BuildOrder, interpreter: Interpreter, harness: Harness, folder: Path, log: BuildLog
    ) -> str:
        """The lock of the order's environment revision: everyone who asks, ever, gets the same.

        For an MLflow model the harness's own requirements hold against whatever a package says of them: mlflow wants
        other releases of a web server, which never runs here.

        Raises `Invalid` or `BuildFailed` when the requirements are at fault, `Unavailable` when the index is.
        """
        wanted = parse_requirements(order.requirements, own=frozenset({harness.name}))
        is_relaxed = is_mlflow(order.file)
        name = lock_name(order.environment_revision_id, wanted, interpreter, harness, is_relaxed=is_relaxed)
        if (known := await self.blobs.claimed(name)) is not None:
            log.say("Environment: the lock of this environment revision is used")
            return known.decode()
        log.say(f"Environment: resolving {len(wanted)} requirements and {len(harness.requires)} of the harness")
        text = await self._resolve(wanted, interpreter, harness, folder, log, is_relaxed=is_relaxed)
        return (await self.blobs.claim(name, text.encode())).decode()

    async def _resolve(
        self,
        wanted: tuple[Wanted, ...],
        interpreter: Interpreter,
        harness: Harness,
        folder: Path,
        log: BuildLog,
        *,
        is_relaxed: bool,
    ) -> str:
        asked, locked = folder / "requirements.in", folder / "requirements.lock"
        asked.write_text("".join(f"{one.text}\n" for one in (*wanted, *harness.requires)), encoding="utf-8")
        said = Tail()
        paths: list[str | Path] = [asked, "--output-file", locked, "--python", interpreter.executable]
        if is_relaxed:
            own = folder / "overrides.in"
            own.write_text("".join(f"{one.text}\n" for one in harness.requires), encoding="utf-8")
            paths += ["--overrides", own]
        code = await run([self.uv, *RESOLVE, *paths], self.environ, said.then(log.write))
        log.end_output()
        if code != 0:
            if FULL in bytes(said):
                raise Unavailable(NO_ROOM, retry_after_s=5.0)
            raise resolution_error(bytes(said).decode(errors="replace"), code, wanted, harness.requires)
        return narrowed(locked.read_text(encoding="utf-8"), wanted)


def lock_name(
    environment_revision_id: str,
    wanted: tuple[Wanted, ...],
    interpreter: Interpreter,
    harness: Harness,
    *,
    is_relaxed: bool = False,
) -> str:
    """Where an environment revision's lock is kept: one for each Python, platform and harness it meets."""
    if not is_bus_token(environment_revision_id):
        raise Invalid(f"{environment_revision_id!r} is not the id of an environment revision")
    basis = [
        *(f"{one.text} {' '.join(sorted(one.hashes))}" for one in wanted),
        *(one.text for one in harness.requires),
        *(harness.version, interpreter.implementation, interpreter.platform),
        *(["relaxed"] if is_relaxed else []),
    ]
    return f"locks/{environment_revision_id}-{hashlib.sha256(chr(10).join(basis).encode()).hexdigest()[:16]}"
