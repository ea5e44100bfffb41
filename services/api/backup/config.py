"""This file is what the backup reads from its environment: where the platform keeps what it decides."""

from __future__ import annotations

import msgspec

from services.kit.config import Secret


class BackupConfig(msgspec.Struct, frozen=True, kw_only=True):
    """As api has them. Secrets come by `<NAME>_FILE`."""

    mongodb_url: Secret
    database_name: str = "modelway"
    blobs_url: str
    token_keys: Secret | None = None  # only for --with-keys, and to say whether they open what is restored
    variable_keys: Secret | None = None
