"""This file is every secret of the home: made at the first start, one 0600 file each, kept from then on."""

from __future__ import annotations

import base64
import secrets
import string
from pathlib import Path

from services.embedded.home import Home

DATABASE_USER = "modelway"
TOKEN_KEYS, VARIABLE_KEYS = "token-keys", "variable-keys"  # names of files
_ALPHABET = string.ascii_letters + string.digits


def bus_password(home: Home, user: str) -> Path:
    """The password of one user of the bus: every service has its own."""
    return home.secret(f"nats-{user}", _password)


def bus_status_path(home: Home) -> Path:
    """Under which path NATS tells its state: it asks nobody who they are, and the state says much."""
    return home.secret("nats-status", _password)


def database_password(home: Home) -> Path:
    return home.secret("database-password", _password)


def token_keys(home: Home) -> Path:
    """The keys that access tokens are encrypted with at rest, newest first, one a line."""
    return home.secret(TOKEN_KEYS, new_key)


def variable_keys(home: Home) -> Path:
    """The keys that the values of environment variables are sealed with; api and deployer have them."""
    return home.secret(VARIABLE_KEYS, new_key)


def api_key(home: Home) -> Path:
    """What the first administrator shows to the api."""
    return home.secret("api-key", lambda: "".join(secrets.choice(_ALPHABET) for _ in range(64)))


def administrator_password(home: Home) -> Path:
    """What the first administrator signs in with, until they set another."""
    return home.secret("administrator-password", lambda: "".join(secrets.choice(_ALPHABET) for _ in range(24)))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def new_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _password() -> str:
    return secrets.token_hex(32)
