"""This file starts the process of an instance: what it is given, and everything it is not given."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from services.core.errors import Unavailable, WorkloadRejected
from services.core.ports import Workload
from services.kit.config import Secret

_PR_SET_NO_NEW_PRIVS = 38
_FIRST_TO_GO = "500"  # when the machine runs out of memory the kernel takes models before the platform
_MAX_BODY_BYTES = 64 << 20
OPEN_FILES = 8192  # of one process
TASKS = 4096  # processes and threads of all instances of a model, where it has a user of its own


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where one instance is to run."""

    folder: Path  # of the instance
    home: Path
    project: Path
    program: tuple[str, ...]  # with its first arguments
    sockets: tuple[str, ...]
    uid: int | None  # None: as the deployer's own user
    mark: int | None = None  # a group of its own
    variables: dict[str, Secret] = {}  # the model's own


def limit_instances(*, have_own_users: bool, open_files: int = OPEN_FILES, tasks: int = TASKS) -> None:
    """Bounds this process and, since limits are handed down and never raised, whatever it starts from now on.

    Changing those of another process takes a right that root has not everywhere. The number of tasks counts by user,
    and not for root: it is set where instances have users of their own.
    """
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: open_files}
    if have_own_users:
        limits[resource.RLIMIT_NPROC] = tasks
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def renounce_privileges() -> None:
    """Whatever this thread starts from now on can never gain rights, by set-user-id programs for instance.

    The kernel keeps this by thread and hands it down, so the thread that starts instances is one of its own.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def instance_settings(workload: Workload, place: Place) -> bytes:
    """instance.json, as the harness reads it."""
    desired = workload.desired
    settings = {
        "instance_id": workload.instance_id,
        "version_id": desired.version_id,
        "version_number": desired.version_number,
        "model_id": desired.model_id,
        "file": desired.file,
        "function": desired.function,
        "project_dir": str(place.project),
        "sockets": place.sockets,
        "exit_file": str(place.home / "exit.json"),
        "request_timeout_s": desired.request_timeout_s,
        "grace_s": workload.grace_s,
        "max_body_bytes": _MAX_BODY_BYTES,
        "example_input": desired.example_input,
        "recycle_after_calls": desired.recycle_after_calls,
        "preload": desired.preload,
        "memory_bytes": desired.memory_bytes,
    }
    return msgspec.json.encode(settings)


def instance_environment(workload: Workload, place: Place) -> dict[str, str]:
    """What a program needs, the model's own variables, and what those may not change; nothing of the platform's."""
    cores = len(os.sched_getaffinity(0))
    if workload.desired.cpu_limit:
        cores = min(cores, math.ceil(workload.desired.cpu_limit))
    return {
        "PATH": f"{Path(place.program[0]).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(max(1, cores // workload.desired.workers)),
        **{name: value.reveal() for name, value in place.variables.items()},
        "HOME": str(place.home),
        "TMPDIR": str(place.home / "tmp"),
        "DOMINO_WORKING_DIR": str(place.project),
    }


def spawn(workload: Workload, place: Place) -> subprocess.Popen[bytes]:
    """Start it in a session of its own. Blocks until the program runs; raises `WorkloadRejected`, `Unavailable`.

    Call it in a thread that renounced its privileges.
    """
    config = place.folder / "instance.json"
    arguments = [*place.program, "--instance", workload.instance_id]
    try:
        with ExitStack() as files:
            out, err = (files.enter_context(_output(place.folder / name, place.uid)) for name in OUTPUT_FILES.values())
            process = subprocess.Popen(
                [*arguments, "--config", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=place.project,
                env=instance_environment(workload, place),
                start_new_session=True,
                umask=0o077,
                user=place.uid,
                group=place.uid,
                extra_groups=None if place.uid is None else [] if place.mark is None else [place.mark],
            )
    except (PermissionError, FileNotFoundError, NotADirectoryError) as error:
        raise WorkloadRejected(f"the instance's user cannot run {place.program[0]}: {error.strerror}") from error
    except ValueError as error:
        raise WorkloadRejected("an environment variable of the model cannot be given to a process") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"no process can be started now: {error}") from error
    with suppress(OSError):
        Path(f"/proc/{process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
    return process


OUTPUT_FILES = {"stdout": "stdout.log", "stderr": "stderr.log"}


def _output(path: Path, uid: int | None) -> _File:
    return _File(path, uid)


class _File:
    """An append file that the instance may also open itself, as /dev/stdout, but not replace."""

    def __init__(self, path: Path, uid: int | None) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if uid is not None:
            os.fchown(self._descriptor, uid, uid)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
