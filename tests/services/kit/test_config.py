from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.kit.config import ConfigError, Secret, ServiceConfig, read_config


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    nats_url: str
    drain_s: float
    workers: int = 2
    is_quick: bool = False
    folder: Path | None = None
    key: Secret = Secret("")


GOOD = {"NATS_URL": "nats://here", "DRAIN_S": "2.5"}


def test_fields_are_read_from_the_variables_named_after_them() -> None:
    environ = GOOD | {"WORKERS": "3", "IS_QUICK": "yes", "FOLDER": "/srv", "KEY": "k"}
    assert read_config(Sample, environ) == Sample(
        nats_url="nats://here", drain_s=2.5, workers=3, is_quick=True, folder=Path("/srv"), key=Secret("k")
    )


def test_what_has_a_default_may_be_left_out_and_an_empty_variable_is_left_out() -> None:
    assert read_config(Sample, GOOD | {"WORKERS": ""}) == Sample(nats_url="nats://here", drain_s=2.5)


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(Sample, {"DRAIN_S": "soon", "WORKERS": "1.5", "IS_QUICK": "perhaps"})
    assert str(caught.value).splitlines() == [
        "NATS_URL is not set",
        "DRAIN_S must be a number, got 'soon'",
        "WORKERS must be a whole number, got '1.5'",
        "IS_QUICK must be true or false, got 'perhaps'",
    ]


def test_a_secret_is_read_from_the_file_that_is_named(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("hidden\n")
    assert read_config(Sample, GOOD | {"KEY_FILE": str(file)}).key.reveal() == "hidden"


def test_a_file_that_cannot_be_read_is_a_problem_like_the_others(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(Sample, {"KEY_FILE": str(tmp_path / "nowhere"), "DRAIN_S": "1"})
    first, second = str(caught.value).splitlines()
    assert first == "NATS_URL is not set"
    assert second.startswith("KEY_FILE cannot be read")
    assert second.endswith("No such file or directory")


def test_a_secret_shows_nowhere() -> None:
    config = read_config(Sample, GOOD | {"KEY": "hidden"})
    for text in (repr(config), str(config), repr(config.key), str(config.key), f"{config.key}"):
        assert "hidden" not in text


def test_the_service_id_follows_the_service_when_none_is_given() -> None:
    environ = {"NATS_URL": "nats://here", "NATS_USER": "router", "NATS_PASSWORD": "p", "HEALTH_PORT": "8100"}
    assert read_config(ServiceConfig, environ).service_id == "router-1"
    assert read_config(ServiceConfig, environ | {"SERVICE_ID": "router-7"}).service_id == "router-7"
