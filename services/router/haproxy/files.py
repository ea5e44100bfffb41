"""This file is HAProxy's folder on disk: every file is written aside, synced and renamed, none is ever half there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_MODE = 0o600


class Folder:
    """HAProxy's folder. One writer."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> str | None:
        """The file's text; None when there is none."""
        try:
            return (self.path / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str) -> None:
        """Make `text` the file's whole content, lasting through a power cut once this returns. Same text: nothing."""
        self.write_all({name: text})

    def write_all(self, texts: Mapping[str, str]) -> None:
        """Write several files: when there is no room for one of them, none is changed."""
        new = {name: text for name, text in texts.items() if self.read(name) != text}
        if not new:
            return
        asides = {name: self.path / f".{name}.new" for name in new}
        try:
            for name, text in new.items():
                _write_synced(asides[name], text)
        except OSError:
            for aside in asides.values():  # they would only take the room that is missing
                aside.unlink(missing_ok=True)
            raise
        for name, aside in asides.items():
            aside.rename(self.path / name)
        _sync_folder(self.path)


def _write_synced(path: Path, text: str) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
