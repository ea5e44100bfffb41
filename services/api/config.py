"""This file is what api reads from its environment."""

from __future__ import annotations

from pathlib import Path

from services.api.room import RESERVE_BYTES
from services.core.collection import EVERY_S, GRACE_S
from services.core.scaling import DOWN_S, UP_S, Patience
from services.core.snapshot import SnapshotLimits
from services.kit.config import Secret, ServiceConfig


class ApiConfig(ServiceConfig, frozen=True, kw_only=True):
    """Secrets come by `<NAME>_FILE`."""

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    public_url: str
    mongodb_url: Secret
    database_name: str = "modelway"
    token_keys: Secret  # Fernet keys, the newest first, one a line
    variable_keys: Secret  # likewise; deployers have them too
    bootstrap_user: str = "admin"
    bootstrap_api_key: Secret
    blobs_url: str
    deployer_id: str = "local"
    collect_every_s: float = EVERY_S
    collect_grace_s: float = GRACE_S
    storage_path: Path | None = None  # on the disk that must not fill up; None: somebody else sees to it
    storage_reserve_bytes: int = RESERVE_BYTES
    scale_up_after_s: float = UP_S
    scale_down_after_s: float = DOWN_S
    snapshot_files: int = SnapshotLimits().files
    snapshot_bytes: int = SnapshotLimits().total_bytes
    snapshot_file_bytes: int = SnapshotLimits().file_bytes

    @property
    def limits(self) -> SnapshotLimits:
        return SnapshotLimits(
            files=self.snapshot_files, total_bytes=self.snapshot_bytes, file_bytes=self.snapshot_file_bytes
        )

    @property
    def patience(self) -> Patience:
        return Patience(up_s=self.scale_up_after_s, down_s=self.scale_down_after_s)
