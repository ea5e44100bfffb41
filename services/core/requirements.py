"""This file is what no requirements file may hold: options, addresses and paths, as far as a line by itself shows it.

It is asked before anything is stored, since an address may have a password in it and history is kept for ever. Whether
what is left are requirements of packages is for the builder to find out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.core.errors import Invalid

ALLOWED = (
    "allowed are package names with versions, extras, environment markers and sha256 hashes, "
    "as in: numpy>=2,<3; python_version >= '3.11'"
)

_COMMENT = re.compile(r"(^|\s)#.*$")
_PATH = re.compile(r"[.~]{0,2}[/\\]|[A-Za-z]:[/\\]|\.{1,2}$|\S+\.(whl|zip|tar\.gz|tgz|tar\.bz2)$")


def check_requirements(text: str, *, field: str = "requirements") -> str:
    """`text` itself; else `Invalid` about its first line that is not allowed.

    >>> check_requirements("flask\\n-e .")
    Traceback (most recent call last):
    ...
    services.core.errors.Invalid: requirements line 2: '-e .' is an option, which is not allowed; allowed are package \
names with versions, extras, environment markers and sha256 hashes, as in: numpy>=2,<3; python_version >= '3.11'
    """
    for number, line in logical_lines(text):
        if (fault := line_fault(line.partition(" --hash")[0])) is not None:
            raise Invalid(f"{field} line {number}: {shown(line)!r} {fault}; {ALLOWED}", field=field)
    return text


def line_fault(line: str) -> str | None:
    """What is wrong with a line without its hashes, as the end of a sentence; None when nothing shows."""
    if line.startswith("-"):
        return "is an option, which is not allowed"
    if "://" in line or line.lower().startswith(("file:", "git+")):
        return "names an address, which is not allowed"
    if _PATH.match(line):
        return "is a path, which is not allowed"
    return None


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each logical line that is not empty, with the number of its first line; a backslash at the end continues."""
    start, pending = 0, ""
    for number, line in enumerate([*text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"), ""], start=1):
        bare = _COMMENT.sub("", line)
        start = start if pending else number
        if bare.endswith("\\"):
            pending += bare[:-1] + " "
            continue
        logical, pending = (pending + bare).strip(), ""
        if logical:
            yield start, logical


def shown(line: str) -> str:
    """`line` short and without what may be a credential: it stands in a reason that others read."""
    without = re.sub(r"://[^/\s]*@", "://***@", line)
    return without if len(without) <= 80 else without[:77] + "..."
