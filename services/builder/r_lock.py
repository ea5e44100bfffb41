"""This file makes an environment revision's lock for R: every package with its version and hash, once and for all.

    R 4.2.2 x86_64-pc-linux-gnu
    jsonlite 1.8.4
    alpha 1.1 sha256:9f86…

What has no hash is the machine's own. What has one is installed from the repository, each after what it needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.builder.build_log import BuildLog
from services.builder.r_repository import Repository, digest_of, read_source, source_in
from services.builder.r_requirements import Demand, version_key
from services.builder.r_resolution import Known, Package, R, Unknown, resolve
from services.core.errors import BuildFailed, Invalid
from services.core.ids import Digest, is_bus_token, is_digest
from services.kit.blobs import Blobs

# The worker that runs the function reads calls with it, in the version that the function's environment has.
OWN = (Demand("jsonlite", ((">=", "1.8"),), "the platform"),)
_HASH = "sha256:"
_QUESTIONS = 50  # to the repository, for one lock


@dataclass(frozen=True)
class Locked:
    """A package that is installed from the repository."""

    name: str
    version: str
    digest: Digest


@dataclass(frozen=True)
class RLock:
    """`machine`: packages of the machine's own R, name and version. `packages` in the order of their installing."""

    r: str
    platform: str
    machine: Mapping[str, str]
    packages: tuple[Locked, ...] = ()

    def __str__(self) -> str:
        machine = "".join(f"{name} {version}\n" for name, version in sorted(self.machine.items()))
        packages = "".join(f"{each.name} {each.version} {_HASH}{each.digest}\n" for each in self.packages)
        return f"R {self.r} {self.platform}\n{machine}{packages}"

    def lacks(self, machine: Mapping[str, Package]) -> str | None:
        """What a machine does not have that this takes from it, as the end of a sentence; newer ones will do."""
        for name, version in self.machine.items():
            here = machine.get(name)
            if here is None or version_key(here.version) < version_key(version):
                return f"{name} {version}, and here is {here.version if here else 'none'}"
        return None

    def on(self, machine: Mapping[str, Package], platform: str) -> RLock:
        """The same with what such a machine has now."""
        now = {name: machine[name].version for name in self.machine}
        return replace(self, r=machine[R].version, platform=platform, machine=now)


def parse_r_lock(text: str) -> RLock:
    """What `str` of an `RLock` says. Raises `Invalid` where it is something else."""
    first, *lines = (line.split() for line in text.splitlines())
    machine = {words[0]: words[1] for words in lines if len(words) == 2}
    packages = [Locked(words[0], words[1], Digest(words[2].removeprefix(_HASH))) for words in lines if len(words) == 3]
    if first[:1] != [R] or len(first) != 3 or not all(is_digest(each.digest) for each in packages):
        raise Invalid("this is not the lock of an R environment")
    return RLock(first[1], first[2], machine, tuple(packages))


@dataclass(frozen=True)
class RLocksmith:
    """Makes locks with what `repository` offers, and keeps them in `blobs`, where the first one made stays."""

    blobs: Blobs
    repository: Repository

    async def lock(
        self,
        revision_id: str,
        demands: Sequence[Demand],
        machine: Mapping[str, Package],
        platform: str,
        folder: Path,
        log: BuildLog,
    ) -> RLock:
        """What the environment revision comes to on this machine. Sources that were fetched on the way lie in `folder`.

        Of what is installed everyone who asks, ever, gets the same; of the machine's own packages what it has now, as
        long as that is not less than there was. Raises `BuildFailed`, `Invalid`, `Unavailable`.
        """
        name = lock_name(revision_id, demands, machine[R].version, platform)
        library = hashlib.sha256("\n".join(sorted(map(str, machine.values()))).encode()).hexdigest()[:16]
        for place in (name, f"{name}-{library}"):  # the second for a machine that has less than the first one's
            known = await self.blobs.claimed(place)
            lock = None if known is None else parse_r_lock(known.decode())
            if lock is not None and lock.lacks(machine) is None:
                log.say("Environment: the lock of this environment revision is used")
                return lock.on(machine, platform)
            if lock is None:
                log.say(f"Environment: resolving {len(demands)} R packages")
                made = await self._resolve(demands, machine, platform, folder, log)
                return parse_r_lock((await self.blobs.claim(place, str(made).encode())).decode())
        raise BuildFailed("the lock of this environment revision is for another machine: revise the environment")

    async def _resolve(
        self,
        demands: Sequence[Demand],
        machine: Mapping[str, Package],
        platform: str,
        folder: Path,
        log: BuildLog,
    ) -> RLock:
        known = Known(machine)
        for _ in range(_QUESTIONS):
            found = resolve([*demands, *OWN], known)
            if not isinstance(found, Unknown):
                break
            if found.names:
                await self.repository.find_out(found.names, known, log)
            await self._read_older(found, known, folder, log)
        else:
            raise BuildFailed("the R packages that are asked for do not resolve: they lead to ever more")
        new = [each for each in found if not each.is_of_machine]
        missing = await self._fetch([(each.name, each.version) for each in new], folder, log)
        if missing:
            name, version = sorted(missing)[0]
            raise BuildFailed(f"the package repository lists {name} {version} and does not have it")
        locked = [
            Locked(each.name, each.version, await digest_of(source_in(folder, each.name, each.version))) for each in new
        ]
        own = {each.name: each.version for each in found if each.is_of_machine}
        return RLock(machine[R].version, platform, own, tuple(locked))

    async def _read_older(self, found: Unknown, known: Known, folder: Path, log: BuildLog) -> None:
        gone = await self._fetch(sorted(found.older), folder, log)
        for name, version in found.older:
            if (name, version) in gone:
                known.archived[name] = [each for each in known.archived.get(name, ()) if each != version]
            else:
                known.read[name, version] = await read_source(source_in(folder, name, version), name, version)

    async def _fetch(self, packages: Sequence[tuple[str, str]], folder: Path, log: BuildLog) -> set[tuple[str, str]]:
        lacking = [each for each in packages if not source_in(folder, *each).exists()]
        return await self.repository.fetch(lacking, folder, log) if lacking else set()


def lock_name(revision_id: str, demands: Sequence[Demand], r: str, platform: str) -> str:
    """Where an environment revision's lock is kept: one for each R, platform and renv.lock that it meets."""
    if not is_bus_token(revision_id):
        raise Invalid(f"{revision_id!r} is not the id of an environment revision")
    basis = [R, ".".join(r.split(".")[:2]), platform, *map(str, demands), *map(str, OWN)]
    return f"locks/{revision_id}-{hashlib.sha256(chr(10).join(basis).encode()).hexdigest()[:16]}"
