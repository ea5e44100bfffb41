"""This file is what api reads from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.api.checkpointer import CHECKPOINT_S
from services.api.room import RESERVE_BYTES
from services.api.sign_in.provider import Account, is_safe
from services.api.sign_in.sessions import LASTS_S
from services.core.collection import EVERY_S, GRACE_S
from services.core.pace import Pace
from services.core.scaling import DOWN_S, UP_S, Patience
from services.core.snapshot import SnapshotLimits
from services.kit.config import Secret, ServiceConfig


class ApiConfig(ServiceConfig, frozen=True, kw_only=True):
    """Secrets come by `<NAME>_FILE`."""

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    public_url: str
    predictions_url: str = ""  # where api itself calls models: a router; "": PUBLIC_URL
    mongodb_url: Secret
    database_name: str = "modelway"
    token_keys: Secret  # Fernet keys, the newest first, one a line
    variable_keys: Secret  # likewise; deployers have them too
    bootstrap_user: str = "admin"
    bootstrap_api_key: Secret
    bootstrap_password: Secret | None = None  # the first administrator's, until they set another; None: none
    session_lasts_s: float = LASTS_S  # from signing in on, whatever is done meanwhile
    blobs_url: str
    deployer_id: str = "local"
    checkpoint_every_s: float = CHECKPOINT_S
    collect_every_s: float = EVERY_S
    collect_grace_s: float = GRACE_S
    storage_path: Path | None = None  # on the disk that must not fill up; None: somebody else sees to it
    storage_reserve_bytes: int = RESERVE_BYTES
    scale_up_after_s: float = UP_S
    scale_down_after_s: float = DOWN_S
    snapshot_files: int = SnapshotLimits().files
    snapshot_bytes: int = SnapshotLimits().total_bytes
    snapshot_file_bytes: int = SnapshotLimits().file_bytes

    requests_per_second: float = 50.0  # of one key or session, of this process; 0: as many as anyone likes
    requests_burst: int = 500  # at once, before that counts
    oidc_issuer: str = ""  # of the OpenID Connect provider, exactly as it names itself; "": there is none
    oidc_client_id: str = ""
    oidc_client_secret: Secret | None = None  # None: the provider knows Modelway as a public client
    oidc_name: str = "OpenID Connect"  # what people call the provider
    oidc_scopes: str = "openid profile email"
    oidc_creates_people: bool = True
    oidc_administrators_group: str = ""

    @classmethod
    def problems_of(cls, values: Mapping[str, Any]) -> list[str]:
        """What does not fit together, in words for who set it."""
        return [sentence for is_wrong, sentence in _wrong(values) if is_wrong]

    @property
    def open_id_connect(self) -> Account | None:
        """None when there is no provider."""
        if not self.oidc_issuer:
            return None
        return Account(
            issuer=self.oidc_issuer,
            client_id=self.oidc_client_id,
            client_secret=self.oidc_client_secret,
            name=self.oidc_name,
            scopes=self.oidc_scopes,
            creates_people=self.oidc_creates_people,
            administrators_group=self.oidc_administrators_group,
        )

    @property
    def pace(self) -> Pace:
        every_s = 1 / self.requests_per_second if self.requests_per_second else 0.0
        return Pace(burst=self.requests_burst, every_s=every_s)

    @property
    def limits(self) -> SnapshotLimits:
        return SnapshotLimits(
            files=self.snapshot_files, total_bytes=self.snapshot_bytes, file_bytes=self.snapshot_file_bytes
        )

    @property
    def patience(self) -> Patience:
        return Patience(up_s=self.scale_up_after_s, down_s=self.scale_down_after_s)


def _wrong(values: Mapping[str, Any]) -> tuple[tuple[bool, str], ...]:
    """Each sentence with whether it applies."""
    issuer, client_id = values.get("oidc_issuer", ""), values.get("oidc_client_id", "")
    scopes = values.get("oidc_scopes", "openid").split()
    return (
        (values.get("requests_per_second", 0.0) < 0, "REQUESTS_PER_SECOND must be 0 or more"),
        (values.get("requests_burst", 1) < 1, "REQUESTS_BURST must be 1 or more"),
        (values.get("session_lasts_s", 1.0) < 1, "SESSION_LASTS_S must be 1 or more"),
        (bool(issuer) and not is_safe(issuer), "OIDC_ISSUER must be an https address (http only on this machine)"),
        ("?" in issuer or "#" in issuer, "OIDC_ISSUER must have no query and no fragment"),
        (bool(issuer) and not client_id, "OIDC_CLIENT_ID is not set, and OIDC_ISSUER is"),
        (bool(client_id) and not issuer, "OIDC_ISSUER is not set, and OIDC_CLIENT_ID is"),
        ("openid" not in scopes, "OIDC_SCOPES must hold the scope openid"),
    )
