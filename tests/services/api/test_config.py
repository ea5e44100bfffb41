"""What api reads from its environment, where it is more than one variable a field."""

from __future__ import annotations

from services.api.config import ApiConfig
from services.core.snapshot import SnapshotLimits
from services.kit.config import read_config

NEEDED = {
    "NATS_URL": "nats://x",
    "NATS_USER": "api",
    "NATS_PASSWORD": "p",
    "HEALTH_PORT": "1",
    "PUBLIC_URL": "http://x",
    "MONGODB_URL": "mongodb://x",
    "TOKEN_KEYS": "k",
    "VARIABLE_KEYS": "k",
    "BOOTSTRAP_API_KEY": "a",
    "BLOBS_URL": "memory:///",
}


def test_the_limits_of_snapshots_are_the_owners_to_set() -> None:
    assert read_config(ApiConfig, NEEDED).limits == SnapshotLimits()
    own = {"SNAPSHOT_FILES": "7", "SNAPSHOT_BYTES": "900", "SNAPSHOT_FILE_BYTES": "80"}
    limits = read_config(ApiConfig, {**NEEDED, **own}).limits
    assert limits == SnapshotLimits(files=7, total_bytes=900, file_bytes=80)
