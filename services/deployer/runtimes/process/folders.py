"""This file is what is kept on disk of each instance, and where.

INSTANCES_DIR/<instance>/            only the platform writes here
    record.json                      who it is, which process, how it ended
    instance.json                    what the harness is told
    stdout.log  stderr.log           what it writes
    output.json                      how far that was passed on
    home/                            its own: HOME, TMPDIR in home/tmp, and exit.json, its last words
SOCKETS_DIR/<instance>/w<i>.sock     one a worker
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
import structlog

from services.core.errors import WorkloadRejected
from services.core.ids import AggregateId, InstanceId, VersionId
from services.deployer.runtimes.process.procfs import Process

log = structlog.get_logger()

_SOCKET_PATH_BYTES = 97  # what HAProxy takes
_LAST_WORDS_BYTES = 64 << 10
_REASON_CHARACTERS = 500


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as it is remembered over restarts of the deployer. Written before its process is started."""

    instance_id: InstanceId
    model_id: AggregateId
    version_id: VersionId
    generation: int
    addresses: tuple[str, ...]
    started_at: datetime
    keeps_connections: bool = False  # it was started with a harness that can
    memory_limit_bytes: int = 0
    request_timeout_s: float = 0.0
    process: Process | None = None  # None: about to be started
    mark: int | None = None  # the group that all its processes bear, where instances have users of their own
    is_stopping: bool = False  # it was asked to end: whatever end follows was wanted
    has_ended: bool = False
    exit_reason: str = ""


class LastWords(msgspec.Struct, frozen=True):
    """What the harness leaves when it cannot go on; it may write more."""

    reason: str


class Folders:
    """The folders of all instances on this machine."""

    def __init__(self, instances_dir: Path, sockets_dir: Path) -> None:
        self.instances_dir = instances_dir
        self.sockets_dir = sockets_dir

    def of(self, instance_id: InstanceId) -> Path:
        return self.instances_dir / instance_id

    def home(self, instance_id: InstanceId) -> Path:
        return self.of(instance_id) / "home"

    def sockets(self, instance_id: InstanceId, workers: int) -> tuple[str, ...]:
        """Where its workers listen. Raises `WorkloadRejected` when the system could not take so long a path."""
        paths = tuple(str(self.sockets_dir / instance_id / f"w{worker}.sock") for worker in range(workers))
        if any(len(path.encode()) > _SOCKET_PATH_BYTES for path in paths):
            raise WorkloadRejected(f"the folder for sockets has too long a path: {self.sockets_dir}")
        return paths

    def create(self, instance_id: InstanceId, uid: int | None) -> None:
        """Make its folders; `uid` is to own what is the instance's. What is there already stays."""
        for passed in (self.instances_dir, self.sockets_dir, self.of(instance_id)):
            make_passable(passed)
        home = self.home(instance_id)
        for own in (home, home / "tmp", self.sockets_dir / instance_id):
            own.mkdir(exist_ok=True, mode=0o700)
            if uid is not None:
                os.chown(own, uid, uid, follow_symlinks=False)

    def delete(self, instance_id: InstanceId) -> None:
        """Take all of it away; what cannot be removed is told in the log and left."""
        for folder in (self.sockets_dir / instance_id, self.of(instance_id)):
            try:
                shutil.rmtree(folder)
            except FileNotFoundError:
                pass
            except (OSError, RecursionError) as error:
                log.warning("instance_folder_left", instance=instance_id, reason=str(error))

    def save(self, record: Record) -> None:
        """Written aside, then renamed: a record is whole or it is the one before."""
        write_whole(self.of(record.instance_id) / "record.json", msgspec.json.encode(record), 0o600)

    def load(self) -> Iterator[Record]:
        """All records. A folder without one is what was left of a start or a removal that was cut short: it goes."""
        with suppress(FileNotFoundError):
            for folder in sorted(self.instances_dir.iterdir()):
                try:
                    yield msgspec.json.decode((folder / "record.json").read_bytes(), type=Record)
                except (OSError, msgspec.MsgspecError):
                    if folder.is_dir():
                        self.delete(InstanceId(folder.name))

    def last_words(self, instance_id: InstanceId) -> str:
        """The reason an instance gave for its end, one line; "" when it left none that can be read."""
        with suppress(OSError, msgspec.MsgspecError):
            data = read_untrusted(self.home(instance_id) / "exit.json", _LAST_WORDS_BYTES)
            return " ".join(msgspec.json.decode(data, type=LastWords).reason.split())[:_REASON_CHARACTERS]
        return ""


def make_passable(folder: Path) -> None:
    """Make a folder that everybody may go through and only its owner may list, whatever the umask is."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)


def write_whole(path: Path, data: bytes, mode: int, *, group: int | None = None) -> None:
    """Replace the file at `path` as one step, also when this process dies in the middle; give it to `group`."""
    aside = path.with_name(f".{path.name}.aside")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        if group is not None:
            os.fchown(file.fileno(), -1, group)
        file.write(data)
    aside.replace(path)


def read_untrusted(path: Path, limit_bytes: int) -> bytes:
    """A file that another user wrote: no link is followed, no pipe waited for, no more than the limit read."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is not a file")
        return file.read(limit_bytes)
