"""This file is `rekey`: access tokens and passwords are sealed with a new key, and the old one is thrown away.

At every moment the key file holds what opens all of them: the new key is in it before anything is sealed with it, and
the old one leaves it after the last secret did.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from services.embedded import credentials, ready
from services.embedded.home import Home, open_home, write_whole
from services.embedded.offline import database, run_api
from services.embedded.ports import kept_ports
from services.embedded.programs import kind_of, names
from services.embedded.progress import Progress
from services.embedded.supervisor import Supervisor
from services.embedded.trouble import Trouble
from services.embedded.up import only_command

_READY_S = 60.0


def rekey(root: Path, environ: Mapping[str, str], progress: Progress) -> int:
    """How it ended, as an exit code; api has said the rest. Raises Trouble. Doing it again does what is left."""
    if not (root / "database").is_dir():
        raise Trouble(f"There is no platform in {root}.")
    home = open_home(root)
    with only_command(home, progress):
        keys = credentials.token_keys(home)
        newest, known = credentials.new_key(), credentials.read(keys)
        write_whole(keys, f"{newest}\n{known}\n")
        with database(home, progress) as url:
            _restart_apis(home, progress)
            code = run_api(home, url, environ, "rekey")
            if code != 0:
                progress.say(f"The older keys stay in {keys}.")
                return code
            write_whole(keys, newest)
            _restart_apis(home, progress)
    progress.step("There is one key, a new one; backups without keys that are older than it need the old one")
    return code


def _restart_apis(home: Home, progress: Progress) -> None:
    """They read their keys when they start. Models answer meanwhile."""
    supervisor, ports = Supervisor(home), kept_ports(home)
    if ports is None or not supervisor.is_running:
        return
    apis = [name for name in names(home, ports) if kind_of(name) == "api"]
    checks = ready.checks(home, ports)
    for name in apis:
        progress.step(f"Restarting {name}")
        supervisor.restart(name)
        ready.wait_until_ready(
            {name: checks[name]},
            within_s=_READY_S,
            is_supervised=lambda: supervisor.is_running,
            on_ready=lambda name: progress.step(f"{name} is ready"),
            log_of=home.log,
        )
