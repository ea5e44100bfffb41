"""This file is how an instance leaves word of why it ended: the exit file, and the exit statuses."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

LOAD_FAILED = 3  # of the instance, and of the worker that found out
REASON_CHARACTERS = 500
DETAIL_CHARACTERS = 4000  # the end of it; all of it is on stderr. Whoever reads the file reads no more than 64 KiB
FAILED = 71  # of a worker that cannot go on, whatever its function has done to it
OVERDUE = 70  # of a worker whose call passed its deadline


def write_exit(path: Path, *, reason: str, detail: str, kind: str = "load_failed") -> None:
    """Put the reason where the platform looks for it: written aside, synced, renamed; so whole or absent.

    Several workers may do this at once; one of them wins.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    words = {"reason": _sayable(reason[:REASON_CHARACTERS]), "detail": _sayable(detail[-DETAIL_CHARACTERS:])}
    text = json.dumps({**words, "kind": kind})
    with aside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _sayable(text: str) -> str:
    """`text` with what is no character in any encoding written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def end_now(status: int) -> NoReturn:
    """End this process without waiting for any of its threads: one of them may never end."""
    for stream in (sys.stdout, sys.stderr, sys.__stderr__):
        with suppress(Exception):  # the user's code may have closed or replaced it
            stream.flush()  # type: ignore[union-attr]
    os._exit(status)
