"""This file is what the deployer reads from its environment."""

from __future__ import annotations

from pathlib import Path

import msgspec

from services.core.collection import EVERY_S, GRACE_S
from services.kit.config import Secret, ServiceConfig


class DeployerConfig(ServiceConfig, frozen=True, kw_only=True):
    deployer_id: str = "local"  # the first half of its keys in `desired` and `placements`
    blobs_url: str
    instances_dir: Path
    versions_dir: Path
    environments_dir: Path
    sockets_dir: Path  # short: the path of a socket has at most 97 bytes
    variable_keys: Secret | None = None  # Fernet keys, the newest first, one a line; without, no variable is opened
    collect_every_s: float = EVERY_S
    collect_grace_s: float = GRACE_S
    instance_uids: str = ""  # "61000-1000": the first user id and how many; only as root


class FoldersConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What is enough to end all instances of this machine."""

    instances_dir: Path
    sockets_dir: Path
