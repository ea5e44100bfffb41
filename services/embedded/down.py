"""This file is `down`: it leaves no process behind, and every wish as it was, so that `up` brings all of it back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from services.embedded import locks
from services.embedded.home import Home, open_home
from services.embedded.ports import kept_ports
from services.embedded.programs import names
from services.embedded.progress import Progress
from services.embedded.supervisor import LOCK, Supervisor
from services.embedded.trouble import Trouble
from services.embedded.up import only_command, program_locks

_STOP_S = 150.0
_ORPHAN_S = 20.0
_INSTANCES_S = 120.0


def down(root: Path, progress: Progress) -> None:
    """Stop every program, then every instance of a model. Raises Trouble when something goes on running."""
    if not (root / "locks").is_dir():
        progress.say(f"Nothing runs from {root}.")
        return
    home = open_home(root)
    with only_command(home, progress):
        supervisor = Supervisor(home)
        if supervisor.is_running:
            progress.step(f"Stopping {', '.join(names(home, kept_ports(home)))}")
        supervisor.stop(within_s=_STOP_S)
        locks.end_holders(program_locks(home), grace_s=_ORPHAN_S)
        _stop_instances(home, progress)
        if left := locks.holders([*program_locks(home), home.lock(LOCK)]):
            raise Trouble(f"These processes did not end: {', '.join(str(process.pid) for process in left)}.")
    progress.step("Modelway is stopped; `make up` brings back what ran")


def _stop_instances(home: Home, progress: Progress) -> None:
    """Instances outlive the deployer on purpose, so only it can tell which processes they are."""
    specification = home / "config" / "deployer.json"
    if not specification.exists():
        return
    progress.step("Stopping the instances of models")
    deployer = json.loads(specification.read_text(encoding="utf-8"))
    done = subprocess.run(
        [*deployer["command"], "--stop-all"],
        env=deployer["environment"],
        cwd=deployer["folder"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_INSTANCES_S,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(f"Some instances of models may still run: {done.stderr.strip()}")
