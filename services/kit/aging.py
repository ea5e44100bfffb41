"""This file is how things on disk grow old: marked whenever they are used, taken away when they were not for long.

The mark is the time of modification. What is taken away is moved aside first and looked at again there: whoever marked
it before it was gone finds it in its place again, and whoever comes later sees that it is not there.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from services.core.collection import Held

ASIDE = ".gone"


def mark_used(path: Path) -> bool:
    """From now on it counts as just used; false when it is not there. Raises OSError."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def used_at(path: Path) -> datetime | None:
    """When it was made or last marked; None when it is not there."""
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def look(folder: Path) -> list[Held]:
    """What is in `folder`, by name; of folders in it no size is told. Nothing when there is no such folder."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                stat = entry.stat(follow_symlinks=False)
                size = stat.st_size if entry.is_file(follow_symlinks=False) else 0
                at = datetime.fromtimestamp(stat.st_mtime, UTC)
                found.append(Held(name=entry.name, used_at=at, size_bytes=size))
    return found


def take_away(path: Path, *, unused_since: datetime) -> bool:
    """Remove a file or a folder, unless it was used since; true when it is gone. Raises OSError."""
    before = used_at(path)
    if before is None or before >= unused_since:
        return False
    aside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{ASIDE}")
    path.rename(aside)
    after = used_at(aside)
    if after is not None and after >= unused_since and not path.exists():
        aside.rename(path)
        return False
    remove(aside)
    return True


def remove(path: Path) -> None:
    """Remove a file or a folder whatever modes its folders have; what cannot be removed is left. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        for folder, _, _ in os.walk(path):
            os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
