"""This file is `status`: a table of the programs of the home."""

from __future__ import annotations

import time
from pathlib import Path

from services.embedded import ready
from services.embedded.example import sign_in
from services.embedded.home import open_home
from services.embedded.ports import kept_ports
from services.embedded.programs import names
from services.embedded.progress import Progress
from services.embedded.routers import places
from services.embedded.supervisor import ProgramState, Supervisor

_ROW = "{:<10} {:<10} {:>8} {:>12}  {}"


def status(root: Path, progress: Progress) -> bool:
    """Show every program. True when all of them are ready."""
    supervisor = Supervisor(open_home(root)) if (root / "locks").is_dir() else None
    if supervisor is None or not supervisor.is_running:
        progress.say(f"Modelway does not run from {root}; start it with: make up")
        return False
    ports = kept_ports(supervisor.home)
    checks = ready.checks(supervisor.home, ports) if ports else {}
    states = {state.name: state for state in supervisor.states()}
    progress.say(_ROW.format("program", "state", "pid", "for", "ready"))
    everyone = names(supervisor.home, ports)
    answers = {name: checks[name]() if name in checks else "unknown" for name in everyone}
    for name in everyone:
        progress.say(_row(name, states.get(name), answers[name]))
    if ports:
        urls = " and ".join(place.url for place in places(supervisor.home, ports))
        progress.say(f"\n{urls}, logs in {supervisor.home / 'logs'}")
        progress.say(f"To sign in: {sign_in(supervisor.home)}.")
    return all(why is None for why in answers.values())


def _row(name: str, state: ProgramState | None, why: str | None) -> str:
    if state is None:
        return _ROW.format(name, "missing", "", "", why or "")
    lived = f"{time.time() - state.start:.0f} s" if state.pid else ""
    return _ROW.format(name, state.statename.lower(), state.pid or "", lived, why or "yes")
