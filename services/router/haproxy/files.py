"""This file is HAProxy's folder on disk: every file is written aside, synced and renamed, none is ever half there."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from services.core.routing import Known

_MEMORY = "known.json"
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
        if self.read(name) == text:
            return
        aside = self.path / f".{name}.new"
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self.path / name)
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def recall(self) -> Known | None:
        """What the router knew before it was restarted; None when nothing readable is there."""
        text = self.read(_MEMORY)
        try:
            return None if text is None else msgspec.json.decode(text, type=Known)
        except msgspec.DecodeError:
            return None

    def remember(self, known: Known) -> None:
        self.write(_MEMORY, msgspec.json.encode(known).decode())
