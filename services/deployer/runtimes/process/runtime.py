"""This file is the Runtime of local processes: started once, found again, ended with all they started."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog
from msgspec.structs import replace
from packaging.version import Version

from services.core.errors import Unavailable, WorkloadRejected
from services.core.ids import InstanceId
from services.core.languages import R_MEMORY_BYTES, Language, written_in
from services.core.ports import Observed, Workload
from services.core.records import Bundle, Desired
from services.deployer.runtimes.process import procfs
from services.deployer.runtimes.process.ending import kill, told, until_ended
from services.deployer.runtimes.process.folders import Folders, Record, write_whole
from services.deployer.runtimes.process.owners import Owners
from services.deployer.runtimes.process.processors import Processors
from services.deployer.runtimes.process.spawn import Place, instance_settings, renounce_privileges, spawn
from services.deployer.runtimes.process.version_files import VersionFiles
from services.kit.clock import now
from services.kit.config import ConfigError, Secret
from services.kit.vault import Vault

log = structlog.get_logger()

MEMORY_EVERY_S = 2.0
FIRST_KEEPER = Version("0.2.0")  # of the Python harness


def keeps_connections(bundle: Bundle) -> bool:
    """Whether the supervisor of its instances answers for a worker that dies, so that calls may share connections."""
    return bundle.language is Language.PYTHON and Version(bundle.harness_version) >= FIRST_KEEPER


class ProcessRuntime:
    """See `core.ports.Runtime`. One at a time works on a set of folders; the next one takes over what it finds."""

    def __init__(
        self,
        folders: Folders,
        versions: VersionFiles,
        owners: Owners,
        variables: Vault | None = None,
        processors: Processors | None = None,
    ) -> None:
        self._folders = folders
        self._processors = processors or Processors(None, folders.instances_dir)
        # By the path of their settings, which is of this home: instances of other homes may have the same ids.
        self._settings = re.compile(re.escape(f" --config {folders.instances_dir}/") + r"([A-Za-z0-9_-]+)/")
        self._versions = versions
        self._owners = owners
        self._variables = variables
        self._records: dict[InstanceId, Record] = {}
        self._children: dict[InstanceId, subprocess.Popen[bytes]] = {}
        self._memory: dict[InstanceId, int] = {}
        self._measured_at = 0.0
        self._is_loaded = False
        self._locks: defaultdict[InstanceId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._loading = asyncio.Lock()
        self._starter = ThreadPoolExecutor(1, "starter", initializer=renounce_privileges)

    def concessions(self, desired: Desired) -> Sequence[str]:
        if not desired.cpu_limit or self._processors.can_limit:
            return ()
        asked = f"at most {desired.cpu_limit:g} of them were asked for"
        return (f"processors are not limited here, {asked}: this machine lets us make no control group",)

    async def ensure(self, workload: Workload) -> None:
        await self._load()
        async with self._locks[workload.instance_id]:
            if workload.instance_id not in self._records:
                await self._start(workload)

    async def stop(self, instance_id: InstanceId, *, grace_s: float) -> None:
        await self._load()
        async with self._locks[instance_id]:
            record = self._records.get(instance_id)
            if record is None or record.has_ended:
                return
            # Kept before anything is done: if we die now, the end is still known to have been wanted.
            self._save(replace(record, is_stopping=True))
            await self._end(record, grace_s)
            self._note_end(instance_id)

    async def forget(self, instance_id: InstanceId) -> None:
        await self._load()
        async with self._locks[instance_id]:
            record = self._records.get(instance_id)
            if record is not None:
                await self._end(record, 0.0)  # also when it has ended: what it started may live on
                await asyncio.to_thread(self._folders.delete, instance_id)
                for each in (self._records, self._children, self._memory):
                    each.pop(instance_id, None)
                await asyncio.to_thread(self._processors.release, set(self._records))
        self._locks.pop(instance_id, None)

    async def observe(self) -> Sequence[Observed]:
        await self._load()
        for instance_id, record in list(self._records.items()):
            if record.process is not None and not record.has_ended and not self._is_alive(record):
                self._note_end(instance_id)
        if time.monotonic() - self._measured_at >= MEMORY_EVERY_S:
            self._measured_at = time.monotonic()
            self._memory = await asyncio.to_thread(_measure, self._living())
        return [
            Observed(
                instance_id=record.instance_id,
                model_id=record.model_id,
                version_id=record.version_id,
                generation=record.generation,
                addresses=record.addresses,
                started_at=record.started_at,
                is_alive=not record.has_ended,
                keeps_connections=record.keeps_connections,
                memory_bytes=self._memory.get(record.instance_id, 0),
                memory_limit_bytes=record.memory_limit_bytes,
                request_timeout_s=record.request_timeout_s,
                exit_reason=record.exit_reason,
                was_stopped=record.is_stopping,
            )
            for record in self._records.values()
        ]

    async def stop_all(self, *, grace_s: float) -> int:
        """End every instance on this machine, also those whose folder is lost; returns how many there were."""
        await self._load()
        living = [record.instance_id for record in self._records.values() if not record.has_ended]
        await asyncio.gather(*(self.stop(each, grace_s=grace_s) for each in living))
        strays = await asyncio.to_thread(lambda: procfs.find_leaders(self._settings, procfs.table()))
        for leader in strays:
            await kill(leader, None, None)
        await asyncio.to_thread(self._processors.release, [each.instance_id for each in self._living()])
        return len(living) + len(strays)

    def close(self) -> None:
        """Let go of the thread. Instances live on."""
        self._starter.shutdown(wait=False)

    async def _start(self, workload: Workload) -> None:
        desired, instance_id = workload.desired, workload.instance_id
        if desired.volumes:
            raise WorkloadRejected("volumes cannot be mounted here: instances are processes of this machine")
        if written_in(desired.file, desired.language) is Language.R and desired.memory_bytes < R_MEMORY_BYTES:
            raise WorkloadRejected(f"an instance of R needs at least {R_MEMORY_BYTES >> 20} MB of memory")
        sockets = self._folders.sockets(instance_id, desired.workers)
        variables = self._open(desired)
        bundle = await self._versions.bundle(desired)
        program = self._versions.program(bundle)
        try:
            uid = self._owners.uid_of(desired.model_id)
            place = Place(
                folder=self._folders.of(instance_id),
                home=self._folders.home(instance_id),
                project=await self._versions.project(desired, bundle, uid),
                program=program,
                sockets=sockets,
                uid=uid,
                mark=self._owners.mark([record.mark for record in self._records.values()]),
                variables=variables,
            )
            self._prepare(workload, place, bundle)
            child = await asyncio.get_running_loop().run_in_executor(self._starter, spawn, workload, place)
        except Exception as error:  # not when cancelled: the process may come, and is adopted then
            self._records.pop(instance_id, None)
            await asyncio.to_thread(self._folders.delete, instance_id)
            if isinstance(error, OSError):
                raise Unavailable(f"the instance's folder cannot be written: {error.strerror}") from error
            raise
        self._children[instance_id] = child
        self._save(replace(self._records[instance_id], process=procfs.identify(child.pid)))
        self._processors.limit(instance_id, child.pid, most=desired.cpu_limit, share=desired.cpu_requested)

    def _open(self, desired: Desired) -> dict[str, Secret]:
        """The model's environment variables, which only a deployer can read. Raises `WorkloadRejected`."""
        if not desired.environment_variables:
            return {}
        try:
            vault = self._variables
            if vault is None:
                raise ConfigError("VARIABLE_KEYS is not set")
            return {name: Secret(vault.open(sealed)) for name, sealed in desired.environment_variables}
        except ConfigError as error:
            raise WorkloadRejected(f"the model's environment variables cannot be opened: {error}") from error

    def _prepare(self, workload: Workload, place: Place, bundle: Bundle) -> None:
        desired = workload.desired
        self._folders.create(workload.instance_id, place.uid)
        record = Record(
            instance_id=workload.instance_id,
            model_id=desired.model_id,
            version_id=desired.version_id,
            generation=desired.generation,
            addresses=place.sockets,
            started_at=now(),
            keeps_connections=keeps_connections(bundle),
            memory_limit_bytes=desired.memory_bytes,
            request_timeout_s=desired.request_timeout_s,
            mark=place.mark,
        )
        # Before the process: whoever finds this record knows what to look for, so that none is started twice.
        self._folders.save(record)
        self._records[record.instance_id] = record
        settings, path = instance_settings(workload, place), place.folder / "instance.json"
        write_whole(path, settings, 0o600 if place.uid is None else 0o640, group=place.uid)

    def _save(self, record: Record) -> None:
        """Remember it; that a disk is full must not keep us from ending instances."""
        self._records[record.instance_id] = record
        try:
            self._folders.save(record)
        except OSError as error:
            log.warning("record_not_saved", instance=record.instance_id, reason=error.strerror)

    async def _load(self) -> None:
        """Take over what an earlier deployer left, once. One that died between record and process is completed."""
        async with self._loading:
            if self._is_loaded:
                return
            records = await asyncio.to_thread(lambda: list(self._folders.load()))
            leaders = await asyncio.to_thread(lambda: procfs.find_leaders(self._settings, procfs.table()))
            found = {instance_id: leader for leader, instance_id in leaders.items()}
            for record in records:
                self._records[record.instance_id] = record
                if record.process is None and not record.has_ended:
                    leader = found.get(record.instance_id)
                    # No process: it was never started, which is nobody's fault.
                    self._save(replace(record, process=leader, has_ended=leader is None, is_stopping=leader is None))
            self._is_loaded = True

    def _is_alive(self, record: Record) -> bool:
        child = self._children.get(record.instance_id)
        if child is not None and child.poll() is not None:  # reaps it
            return False
        return record.process is not None and procfs.is_alive(record.process)

    def _note_end(self, instance_id: InstanceId) -> None:
        record = self._records[instance_id]
        is_other_boot = record.process is not None and record.process.boot_id != procfs.boot_id()
        reason = "the machine was restarted" if is_other_boot else self._exit_reason(instance_id)
        self._save(replace(record, has_ended=True, is_stopping=record.is_stopping or is_other_boot, exit_reason=reason))

    def _exit_reason(self, instance_id: InstanceId) -> str:
        child = self._children.get(instance_id)
        status = None if child is None else child.poll()
        return self._folders.last_words(instance_id) or ("" if status is None else told(status))

    def _living(self) -> list[Record]:
        return [each for each in self._records.values() if not each.has_ended]

    async def _end(self, record: Record, grace_s: float) -> None:
        if record.process is None or record.process.boot_id != procfs.boot_id():
            return
        if grace_s > 0:
            procfs.send(record.process, signal.SIGTERM)  # to the one that knows how to end the others
            await until_ended(record.process, grace_s)
        await kill(record.process, self._folders.home(record.instance_id), record.mark)
        self._is_alive(record)  # reaps it


def _measure(living: Sequence[Record]) -> dict[InstanceId, int]:
    processes = procfs.table() if living else {}
    marks = procfs.with_groups([record.mark for record in living if record.mark is not None], processes)
    return {
        record.instance_id: procfs.memory_bytes(
            procfs.members(record.process, processes, marked=marks.get(record.mark or 0, ()))
        )
        for record in living
        if record.process is not None
    }
