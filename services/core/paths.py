"""This file is which paths a project's file may have: relative, plain, and the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255


def path_fault(path: str) -> str | None:
    """What is wrong with `path` as the path of a project's file, as the end of a sentence; None when nothing is.

    >>> path_fault("src/model.py")
    >>> path_fault("../model.py")
    "has a '..' in it"
    """
    names = path.split("/")
    if not path:
        return "is empty"
    if path.startswith("/"):
        return "is absolute"
    if ".." in names:
        return "has a '..' in it"
    if "" in names or "." in names:
        return "has an empty part in it"
    if any(character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff" for character in path):
        return "has a control character in it, or is not UTF-8"
    if len(path.encode()) > MAX_PATH_BYTES or any(len(name.encode()) > MAX_NAME_BYTES for name in names):
        return f"is longer than {MAX_PATH_BYTES} bytes, or one of its names than {MAX_NAME_BYTES}"
    return None


def paths_fault(paths: Iterable[str]) -> str | None:
    """What is wrong with `paths` as the files of one project, as a whole sentence; None when nothing is.

    >>> paths_fault(["data", "data/train.csv"])
    "'data' is both a file and a folder"
    """
    seen: set[str] = set()
    for path in paths:
        if fault := path_fault(path):
            return f"the path {path!r} {fault}"
        if path in seen:
            return f"the path {path!r} occurs twice"
        seen.add(path)
    for path in sorted(seen):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            if (folder := "/".join(parts[:depth])) in seen:
                return f"{folder!r} is both a file and a folder"
    return None
