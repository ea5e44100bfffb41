"""This file is the rules for volumes: folders of the host that the instances of a model see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.core.errors import Invalid
from services.core.names import shortened
from services.core.records import Volume

MAX_VOLUMES = 32
MAX_PATH = 1024

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def check_volumes(volumes: Iterable[Volume], *, field: str = "volumes") -> tuple[Volume, ...]:
    """What was given, when every name and path is plain and nothing occurs twice; else `Invalid`.

    Whether the folder is there, and may be seen, is the runtime's to say.
    """
    checked = tuple(volumes)
    if len(checked) > MAX_VOLUMES:
        raise Invalid(f"{field} may hold at most {MAX_VOLUMES} volumes, got {len(checked)}", field=field)
    for place, volume in enumerate(checked):
        _check_name(volume.name, f"{field}[{place}].name")
        _check_path(volume.mount_path, f"{field}[{place}].mountPath")
        _check_path(volume.host_path, f"{field}[{place}].hostPath")
    for what, all_of_it in (("name", [each.name for each in checked]), ("path", [each.mount_path for each in checked])):
        if len(set(all_of_it)) < len(all_of_it):
            raise Invalid(f"{field}: two volumes have the same {what}", field=field)
    return checked


def _check_name(name: str, field: str) -> None:
    if _NAME.fullmatch(name) is None:
        raise Invalid(f"{field} must be 1 to 63 lower-case letters, digits and '-', got {shortened(name)}", field=field)


def _check_path(path: str, field: str) -> None:
    parts = path.split("/")
    is_plain = path.isprintable() and 1 < len(path) <= MAX_PATH
    if not is_plain or parts[0] or any(part in ("", ".", "..") for part in parts[1:]):
        raise Invalid(
            f"{field} must be an absolute path without '.', '..' and empty parts, got {shortened(path)}", field=field
        )
