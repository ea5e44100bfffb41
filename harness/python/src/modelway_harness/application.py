"""This file is what gunicorn is told about an instance, and what its supervisor and its workers share."""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from gunicorn.app.base import BaseApplication

from .config import Instance
from .keeper import Keeper
from .succession import IMPORTS
from .worker import ModelWorker

if TYPE_CHECKING:
    from .server import Supervisor

HUNG_MARGIN_S = 5  # past the request timeout, after which a worker that shows no life at all is killed


class Application(BaseApplication):  # type: ignore[misc]  # gunicorn comes without types
    """Gunicorn's configuration, and what supervisor and workers share: `stages` holds a byte per worker, by slot."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.stages = mmap.mmap(-1, 2 * len(instance.sockets))  # shared memory; each may have a successor
        self.keeper = Keeper(2 * len(instance.sockets))
        super().__init__()

    def load_config(self) -> None:
        instance = self.instance
        settings = {
            "bind": [],
            "control_socket_disable": True,
            "graceful_timeout": math.ceil(instance.grace_s),
            "loglevel": "error",
            "on_exit": _remove_sockets,
            "pre_fork": number,
            "proc_name": f"modelway_harness --instance {instance.instance_id}",
            "timeout": math.ceil(instance.request_timeout_s) + HUNG_MARGIN_S,
            "worker_class": ModelWorker,
            "worker_tmp_dir": _memory_dir() or str(instance.exit_file.parent),
            "workers": len(instance.sockets),
        }
        for name, value in settings.items():
            self.cfg.set(name, value)


def number(supervisor: Supervisor, worker: ModelWorker) -> None:
    """Give a worker that is about to be forked its socket, and a slot that no other has."""
    worker.index, worker.follows = supervisor.post
    worker.is_spare = worker.follows is not None
    worker.made_at = monotonic()
    stages = supervisor.app.stages
    taken = {other.slot for other in supervisor.WORKERS.values()}
    worker.slot = next(slot for slot in range(len(stages)) if slot not in taken)
    stages[worker.slot] = IMPORTS


def _remove_sockets(supervisor: Supervisor) -> None:
    for path in supervisor.app.instance.sockets:
        path.unlink(missing_ok=True)


def _memory_dir() -> str | None:
    """A folder in memory, for the files by which workers show that they live: no slow disk is to blame."""
    folder = Path("/dev/shm")  # noqa: S108  # gunicorn makes its file there with a random name, and unlinks it
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None
