"""This file makes environments of their own for programs that the tests need and whose pins do not meet ours.

`tests/locks/<name>.in` says what an environment holds; which releases, by their hashes, says `tests/locks/<name>.lock`,
which `make lock` writes.

`make test` makes all of them first (`python -m tests.peers`), so that no test waits for a download.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

LOCKS = Path(__file__).resolve().parent / "locks"
ROOT = LOCKS.parent.parent / ".venv-peers"

_INSTALL_S = 600.0
_POLL_S = 0.1


class PeerMissing(Exception):
    """An environment could not be made: there is no such lock file, or its packages cannot be installed."""


def peer(name: str, *, locks: Path = LOCKS, root: Path = ROOT, patience_s: float = _INSTALL_S) -> Path:
    """The python of the environment that `tests/locks/<name>.lock` describes.

    Made once per content of the lock file, also when several processes ask for it at the same time; one that was left
    half made is begun again. What a package brings as a program is beside the answer: `peer("x").with_name("program")`.
    Raises PeerMissing.

    >>> peer("nobody")
    Traceback (most recent call last):
    ...
    tests.peers.PeerMissing: there is no tests/locks/nobody.lock
    """
    lock_file = locks / f"{name}.lock"
    if not lock_file.is_file():
        raise PeerMissing(f"there is no tests/locks/{name}.lock")
    environment = root / f"{name}-{_fingerprint(lock_file)}"
    ready = environment / ".ready"
    if not ready.exists():
        root.mkdir(parents=True, exist_ok=True)
        with (root / f"{name}.lock").open("w") as handle, _alone(handle, patience_s, name):
            if not ready.exists():
                _make(environment, lock_file, patience_s)
                ready.touch()
    return environment / "bin" / "python"


def _fingerprint(lock_file: Path) -> str:
    """Another lock file or another Python is another environment."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return hashlib.sha256(lock_file.read_bytes() + python.encode()).hexdigest()[:12]


def _make(environment: Path, lock_file: Path, patience_s: float) -> None:
    python = environment / "bin" / "python"
    _uv("venv", "--clear", "--python", sys.executable, str(environment), patience_s=patience_s)
    install = ("--require-hashes", "--compile-bytecode", "--requirement", str(lock_file))
    _uv("pip", "install", "--python", str(python), *install, patience_s=patience_s)


def _uv(*arguments: str, patience_s: float) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        done = subprocess.run(
            [uv, *arguments, "--quiet"], capture_output=True, text=True, timeout=patience_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PeerMissing(f"uv {arguments[0]} took longer than {patience_s:g} s") from error
    if done.returncode != 0:
        raise PeerMissing(f"uv {arguments[0]} failed: {done.stderr.strip()}")


@contextmanager
def _alone(handle: IO[str], patience_s: float, name: str) -> Iterator[None]:
    """The lock goes with its process, so one that dies half way holds up nobody."""
    give_up_at = time.monotonic() + patience_s
    while not _is_taken(handle):
        if time.monotonic() > give_up_at:
            raise PeerMissing(f"another process is still making {name} after {patience_s:g} s")
        time.sleep(_POLL_S)
    yield


def _is_taken(handle: IO[str]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    for each in sorted(LOCKS.glob("*.lock")):
        peer(each.stem)
