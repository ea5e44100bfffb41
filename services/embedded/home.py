"""This file is the home: where everything of one embedded platform lies, and who may read it.

secrets/      one secret a file, 0600           config/    what was chosen and rendered at a start
nats/ database/ blobs/                          logs/      one log a program, rotated
environments/ versions/ instances/ harness/     open to the users that instances run as
haproxy/      what the router writes            locks/     who runs now; see `locks`
haproxy-2/ …  the same for each further router
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from services.embedded.trouble import Trouble

PRIVATE = ("secrets", "config", "nats", "blobs", "logs", "haproxy", "locks", "builds")
TRAVERSABLE = ("versions", "instances")  # their own subfolders say who may enter
READABLE = ("environments", "harness")
_SOCKETS_LIMIT = 46  # a Unix socket's path has at most 97 characters, and an instance's name needs the rest


@dataclass(frozen=True)
class Home:
    """The folders of one platform. `open_home` makes those that every home has."""

    root: Path
    sockets: Path

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    @property
    def private_sockets(self) -> Path:
        """Where the supervisor's and HAProxy's own sockets are: only the owner gets in."""
        return self.sockets / "own"

    def log(self, program: str) -> Path:
        return self.root / "logs" / f"{program}.log"

    def make_private(self, folder: Path) -> None:
        """`folder` is there, and only the owner gets in. Raises Trouble."""
        try:
            _folder(folder, 0o700)
        except OSError as error:
            raise Trouble(f"{folder} cannot be made: {error}.") from error

    def lock(self, program: str) -> Path:
        return self.root / "locks" / f"{program}.lock"

    def secret(self, name: str, make: Callable[[], str]) -> Path:
        """The file that holds the secret `name`, made once and then kept."""
        path = self.root / "secrets" / name
        if not path.exists():
            write_whole(path, make())
        return path


def open_home(root: Path) -> Home:
    """The home at `root`, with every folder there and its permissions set. Raises Trouble."""
    home = Home(root=root, sockets=_sockets(root))
    try:
        _folder(root, 0o711)
        for names, mode in ((PRIVATE, 0o700), (TRAVERSABLE, 0o711), (READABLE, 0o755)):
            for name in names:
                _folder(root / name, mode)
        _folder(home.sockets, 0o711)
        _folder(home.private_sockets, 0o700)
    except OSError as error:
        raise Trouble(f"The home {root} cannot be set up: {error}.") from error
    return home


def write_whole(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Make `path` hold `text`: after a crash it holds the old text or the new one, never a part of either."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` last through a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sockets(root: Path) -> Path:
    inside = root / "s"
    if len(str(inside)) <= _SOCKETS_LIMIT:
        return inside
    digest = hashlib.sha256(str(root).encode()).hexdigest()[:8]
    return Path("/tmp") / f"modelway-{os.getuid()}-{digest}"  # noqa: S108 - short; ownership is checked below


def _folder(path: Path, mode: int) -> None:
    path.mkdir(mode=mode, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise Trouble(f"{path} must be a folder that belongs to you: move it away and try again.")
    if stat.S_IMODE(found.st_mode) != mode:
        path.chmod(mode)
