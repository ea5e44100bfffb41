"""This file runs api's own commands on the home, whether it is up or down: what is stored is api's business alone."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.embedded import credentials, locks
from services.embedded.database import NAME, serving, url_file
from services.embedded.home import Home
from services.embedded.parts import find
from services.embedded.progress import Progress
from services.embedded.supervisor import Supervisor
from services.embedded.up import program_locks

DATABASE = "secantusd-py"
DONE = (0, 3)  # 3: it is done, and there is something to know
_ORPHAN_S = 15.0
_OF_THE_PERSON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR")


@contextlib.contextmanager
def database(home: Home, progress: Progress) -> Iterator[Path]:
    """The file with the URL of the home's database, which runs inside. Raises Trouble."""
    if Supervisor(home).is_running:
        yield url_file(home)
        return
    end_orphans(home, progress)
    with serving(find(DATABASE), home, home / "database") as url:
        yield url


def end_orphans(home: Home, progress: Progress) -> None:
    if ended := locks.end_holders(program_locks(home), grace_s=_ORPHAN_S):
        progress.step(f"Ended {ended} processes that a dead supervisor left behind")


def run_api(home: Home, url: Path, environ: Mapping[str, str], module: str, *arguments: str) -> int:
    """How `services.api.<module>` ended, as an exit code; it talks to the person itself."""
    keys = {"TOKEN_KEYS_FILE": credentials.TOKEN_KEYS, "VARIABLE_KEYS_FILE": credentials.VARIABLE_KEYS}
    files = {variable: home / "secrets" / name for variable, name in keys.items()}
    done = subprocess.run(
        [sys.executable, "-P", "-m", f"services.api.{module}", *arguments],
        env={
            **{name: environ[name] for name in _OF_THE_PERSON if name in environ},
            **{variable: str(path) for variable, path in files.items() if path.exists()},
            "MONGODB_URL_FILE": str(url),
            "DATABASE_NAME": NAME,
            "BLOBS_URL": (home / "blobs").as_uri(),
        },
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode if done.returncode in DONE else 1
