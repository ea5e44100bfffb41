"""No secret of the platform is where it does not belong: logs, events, process arguments, an instance's environment."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.e2e.platform import Platform, write_project
from tests.e2e.test_publish import endpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SHOWS = """
import os
def predict():
    return dict(os.environ)
"""


@pytest.fixture(scope="module")
def secrets(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    project = write_project(tmp_path_factory.mktemp("project") / "shows", SHOWS)
    platform.done("publish", str(project), "--name", "shows", "--file", "predict.py", "--function", "predict")
    _, token = endpoint(platform, "shows")
    kept = [path.read_text().split() for path in (platform.home / "secrets").iterdir()]
    words = [word for file in kept for word in file if len(word) >= 16]
    return [token, *words]


def test_no_secret_is_in_a_log(platform: Platform, secrets: list[str]) -> None:
    logs = [path for path in (platform.home / "logs").rglob("*") if path.is_file()]
    assert logs
    for path in logs:
        text = path.read_text(errors="replace")
        assert not [path.name for secret in secrets if secret in text]


def test_no_secret_is_an_argument_of_a_process(platform: Platform, secrets: list[str]) -> None:
    for process in platform.left_behind():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [process.pid for secret in secrets if secret in words]


def test_an_instance_sees_no_secret_and_nothing_of_the_platform(platform: Platform, secrets: list[str]) -> None:
    environment = platform.done("predict", "shows", '{"parameters": []}')["result"]
    assert not [name for name, value in environment.items() for secret in secrets if secret in value]
    assert not [name for name in environment if name.startswith(("NATS", "MONGODB", "TOKEN", "BOOTSTRAP", "BLOBS"))]
    assert environment["DOMINO_WORKING_DIR"].endswith("/mnt/admin/shows")


def test_no_secret_is_in_an_event_or_on_the_bus(platform: Platform, secrets: list[str]) -> None:
    with platform.http() as http:
        events = http.get("/api/modelServing/v1/audit", params={"limit": 500}).text
    assert not [secret for secret in secrets if secret in events]
    for path in (platform.home / "nats").rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [path.name for secret in secrets if secret.encode() in content]


def test_secrets_are_readable_by_their_owner_only(platform: Platform) -> None:
    for path in (platform.home / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert Path(platform.home / "cli.toml").stat().st_mode & 0o077 == 0
