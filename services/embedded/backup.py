"""This file is `backup` and `restore`: of a home that is up, or down; into a home in which nothing ever ran.

Restoring works on a database aside, which gets its final name when all is in it: a restoring that was cut off leaves a
home in which nothing ever ran.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from services.embedded.database import make_storage, serving
from services.embedded.home import open_home, sync_folder
from services.embedded.offline import DATABASE, DONE, database, end_orphans, run_api
from services.embedded.parts import find
from services.embedded.progress import Progress
from services.embedded.supervisor import Supervisor
from services.embedded.trouble import Trouble
from services.embedded.up import only_command


def backup(root: Path, file: Path, environ: Mapping[str, str], progress: Progress, *, with_keys: bool) -> int:
    """How it ended, as an exit code; api has said the rest. Raises Trouble."""
    if not (root / "database").is_dir():
        raise Trouble(f"There is no platform in {root}.")
    if file.is_dir() or not file.parent.is_dir():
        raise Trouble(f"{file} cannot be a file: name one, as in: make backup TO=backup.tar.gz")
    home = open_home(root)
    with only_command(home, progress):
        progress.step(f"Backing up {root}")
        with database(home, progress) as url:
            return run_api(home, url, environ, "backup", "create", str(file), *(["--with-keys"] if with_keys else []))


def restore(root: Path, file: Path, environ: Mapping[str, str], progress: Progress) -> int:
    """Likewise. Raises Trouble, also for a home that is not empty."""
    if not file.is_file():
        raise Trouble(f"{file} is no file: name one, as in: make restore FROM=backup.tar.gz")
    home = open_home(root)
    with only_command(home, progress):
        if (home / "database").exists() or Supervisor(home).is_running:
            raise Trouble(
                f"There is a platform in {root}: a backup is restored into a home in which nothing ever ran. "
                "Move that one away, or name another as MODELWAY_HOME."
            )
        program, aside = find(DATABASE), home / "database.restored"
        end_orphans(home, progress)
        shutil.rmtree(aside, ignore_errors=True)
        progress.step(f"Restoring into {root}")
        make_storage(program, home, aside)
        with serving(program, home, aside) as url:
            code = run_api(home, url, environ, "backup", "restore", str(file), "--keys-to", str(home / "secrets"))
        if code not in DONE:
            shutil.rmtree(aside, ignore_errors=True)
            return code
        aside.rename(home / "database")
        sync_folder(home.root)
    progress.step("It is restored; `make up` starts it")
    return code
