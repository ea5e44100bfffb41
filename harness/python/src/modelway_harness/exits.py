"""This file is how an instance leaves word of why it ended: the exit file, and the exit statuses."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

LOAD_FAILED = 3  # of the instance, and of the worker that found out
REASON_CHARACTERS = 500
DETAIL_CHARACTERS = 4000  # the end of it; all of it is on stderr. Whoever reads the file reads no more than 64 KiB
FAILED = 71  # of a worker that cannot go on, whatever its function has done to it
OVERDUE = 70  # of a worker whose call passed its deadline


class Ending(NamedTuple):
    """How a worker has ended, or why its supervisor ended it."""

    word: str  # in the log
    said: str  # about the worker


TOO_MUCH_MEMORY = Ending("too_much_memory", "used more memory than the instance has, and was ended")
HUNG = Ending("hung", "let nothing else run past the deadline, and was ended")
_OWN = {
    FAILED: Ending("failed", "failed, and ended"),
    OVERDUE: Ending("overdue", "was overdue, and ended"),
}


def ending_of(status: int) -> Ending:
    """In words where the status is one of ours; negative is a signal.

    >>> ending_of(70).word, ending_of(7), ending_of(-9).said
    ('overdue', Ending(word='status_7', said='ended with status 7'), 'ended with signal 9')
    """
    kind, number = ("signal", -status) if status < 0 else ("status", status)
    return _OWN.get(status) or Ending(f"{kind}_{number}", f"ended with {kind} {number}")


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
