"""This file is what api reads from its environment."""

from __future__ import annotations

from services.kit.config import Secret, ServiceConfig


class ApiConfig(ServiceConfig, frozen=True, kw_only=True):
    """Secrets come by `<NAME>_FILE`."""

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    public_url: str
    mongodb_url: Secret
    database_name: str = "modelway"
    token_keys: Secret  # Fernet keys, the newest first, one a line
    bootstrap_user: str = "admin"
    bootstrap_api_key: Secret
    blobs_url: str
    deployer_id: str = "local"
