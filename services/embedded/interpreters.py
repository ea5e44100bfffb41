"""This file picks the interpreter that models' environments are made from, and the users that instances run as.

As root, every instance runs as a user of its own, so that one model can read neither another's files nor the
platform's secrets. That needs an interpreter and a home which such a user can reach; whether it can is tried
out, not guessed. Otherwise instances run as the person who started the platform, and `warning` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.embedded.home import Home
from services.embedded.trouble import Trouble

FIRST_UID, UIDS = 200_000, 50_000
_TRIAL = "import ctypes, ssl, sys, venv; sys.exit(sys.version_info < (3, 11))"
_TRIAL_S = 60.0


class ModelInterpreter(msgspec.Struct, frozen=True):
    """`instance_uids` is empty when instances run as the same user as the platform; then `warning` says why."""

    path: str
    instance_uids: str
    warning: str


def pick_interpreter(home: Home, uv: Path, *, is_root: bool) -> ModelInterpreter:
    """The best interpreter here for models. Raises Trouble when none can make a working environment."""
    candidates = list(_candidates())
    if is_root and can_be_entered(home.root):
        for path in candidates:
            if _works(path, home, uv, user=FIRST_UID):
                return ModelInterpreter(str(path), f"{FIRST_UID}-{UIDS}", "")
    for path in candidates:
        if _works(path, home, uv, user=None):
            return ModelInterpreter(str(path), "", _warning(home) if is_root else _NOT_ROOT)
    raise Trouble(
        "No Python from 3.11 on makes a working virtual environment; on Debian and Ubuntu: "
        "apt install python3 python3-venv"
    )


def can_be_entered(folder: Path) -> bool:
    """True if every user of this machine may pass through `folder` and all folders above it."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.resolve().parents))


_NOT_ROOT = (
    "Models run as your own user and can read what you can read: publish only code that you trust, or run "
    "Modelway as root, which gives every instance a user of its own."
)


def _warning(home: Home) -> str:
    if not can_be_entered(home.root):
        return (
            f"Models run as root: other users may not enter {home.root}. Choose another home to give every "
            "instance a user of its own, as in: make up MODELWAY_HOME=/var/lib/modelway"
        )
    return (
        "Models run as root: other users can run no Python from 3.11 on that is installed here. To give every "
        "instance a user of its own, install one for all, as in: apt install python3"
    )


def _candidates() -> Iterable[Path]:
    own = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    yield own
    minors = sorted(range(11, 15), key=lambda minor: abs(minor - sys.version_info.minor))
    for folder in ("/usr/bin", "/usr/local/bin"):
        for name in (*(f"python3.{minor}" for minor in minors), "python3"):
            path = Path(folder, name)
            if os.access(path, os.X_OK) and path.resolve() != own:
                yield path


def _works(python: Path, home: Home, uv: Path, *, user: int | None) -> bool:
    """True if `user` can run an environment that is made from `python` inside of the home."""
    trial = home / "environments" / f".trial-{os.getpid()}"
    make = [str(uv), "venv", "--quiet", "--no-project", "--no-config", "--python", str(python), str(trial)]
    try:
        return _succeeds(make, user=None) and _succeeds([str(trial / "bin" / "python"), "-I", "-c", _TRIAL], user=user)
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def _succeeds(command: list[str], *, user: int | None) -> bool:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=_TRIAL_S,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
