"""This file adds the keys of an archive to key files, behind those that are there: the first one seals what is new."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from services.api.backup.records import TOKEN_KEYS, VARIABLE_KEYS
from services.kit.config import Secret


def keep_keys(folder: Path, archived: Mapping[str, str], known: Mapping[str, Secret | None]) -> dict[str, str]:
    """What each key file holds then. A file that has all of them already is not written. Raises OSError."""
    kept: dict[str, str] = {}
    for name in (TOKEN_KEYS, VARIABLE_KEYS):
        path = folder / name
        here = path.read_text(encoding="utf-8") if path.exists() else _revealed(known.get(name))
        lines = _lines(here)
        added = [line for line in _lines(archived.get(name, "")) if line not in lines]
        kept[name] = "\n".join((*lines, *added))
        if added:
            _write(path, kept[name])
    return kept


def _revealed(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
