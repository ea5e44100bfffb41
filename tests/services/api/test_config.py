"""What api reads from its environment, where it is more than one variable a field."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.api.config import ApiConfig
from services.api.sign_in.provider import Account
from services.core.snapshot import SnapshotLimits
from services.kit.config import ConfigError, Secret, read_config

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


PROVIDER = {"OIDC_ISSUER": "https://id.example", "OIDC_CLIENT_ID": "modelway"}


def problems(**changes: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        read_config(ApiConfig, {**NEEDED, **PROVIDER, **changes})
    return str(refused.value).splitlines()


def test_without_an_issuer_there_is_no_provider() -> None:
    assert read_config(ApiConfig, NEEDED).open_id_connect is None


def test_a_provider_is_what_the_environment_says(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the client\n")
    own = {
        "OIDC_CLIENT_SECRET_FILE": str(secret),
        "OIDC_CREATES_PEOPLE": "no",
        "OIDC_ADMINISTRATORS_GROUP": "operators",
    }
    account = read_config(ApiConfig, {**NEEDED, **PROVIDER, **own}).open_id_connect
    assert account == Account(
        issuer="https://id.example",
        client_id="modelway",
        client_secret=Secret("of the client"),
        name="OpenID Connect",
        scopes="openid profile email",
        creates_people=False,
        administrators_group="operators",
    )
    assert "of the client" not in repr(account)


def test_all_that_is_wrong_with_a_provider_is_said_at_once() -> None:
    wrong = {
        "OIDC_ISSUER": "http://id.example?x",
        "OIDC_CLIENT_ID": "",
        "OIDC_SCOPES": "profile",
        "HEALTH_PORT": "soon",
    }
    assert problems(**wrong) == [
        "HEALTH_PORT must be a whole number, got 'soon'",
        "OIDC_ISSUER must be an https address (http only on this machine)",
        "OIDC_ISSUER must have no query and no fragment",
        "OIDC_CLIENT_ID is not set, and OIDC_ISSUER is",
        "OIDC_SCOPES must hold the scope openid",
    ]
    assert problems(OIDC_ISSUER="") == ["OIDC_ISSUER is not set, and OIDC_CLIENT_ID is"]
    assert problems(REQUESTS_PER_SECOND="-1", REQUESTS_BURST="0") == [
        "REQUESTS_PER_SECOND must be 0 or more",
        "REQUESTS_BURST must be 1 or more",
    ]


def test_how_often_one_may_ask_is_the_owners_to_set() -> None:
    pace = read_config(ApiConfig, {**NEEDED, "REQUESTS_PER_SECOND": "4", "REQUESTS_BURST": "9"}).pace
    assert (pace.burst, pace.every_s) == (9, 0.25)
    assert read_config(ApiConfig, {**NEEDED, "REQUESTS_PER_SECOND": "0"}).pace.every_s == 0
