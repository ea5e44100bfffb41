"""This file is where the configuration is looked up, and what is wrong with a bad one."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest
from modelway.configuration import Configuration, find_configuration
from modelway.errors import NotConfigured


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    monkeypatch.setattr(platformdirs, "user_config_path", lambda name: folder)
    return folder


def written(path: Path, api_key: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'url = "http://127.0.0.1:1"\napi_key = "{api_key}"\n')
    return path


def test_the_named_file_comes_before_the_nearest_and_that_before_the_users(tmp_path: Path, user_folder: Path) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    found = []
    written(user_folder / "cli.toml", "users")
    found.append(find_configuration({}, deep).api_key)
    written(tmp_path / ".modelway" / "cli.toml", "far")
    found.append(find_configuration({}, deep).api_key)
    written(tmp_path / "a" / "b" / ".modelway" / "cli.toml", "near")
    found.append(find_configuration({}, deep).api_key)
    named = written(tmp_path / "named.toml", "named")
    found.append(find_configuration({"MODELWAY_CONFIG": str(named)}, deep).api_key)
    assert found == ["users", "far", "near", "named"]


def test_without_any_configuration_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="run `make up`"):
        find_configuration({}, tmp_path)


def test_a_named_file_that_is_not_there_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    written(tmp_path / ".modelway" / "cli.toml", "near")
    with pytest.raises(NotConfigured, match="does not exist"):
        find_configuration({"MODELWAY_CONFIG": str(tmp_path / "gone")}, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "lacks url and api_key"),
        ('url = "http://h"', "lacks api_key"),
        ("url = secret", "is not TOML"),
        ('url = "h:80"\napi_key = "k"', "must look like"),
        ('url = "http://me:secret@h"\napi_key = "k"', "nothing but scheme, host and port"),
        ('url = "http://h"\napi_key = "secret with blanks"', "visible ASCII"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong_and_without_its_secrets(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / ".modelway" / "cli.toml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(NotConfigured, match=reason) as caught:
        find_configuration({}, tmp_path)
    assert str(path) in caught.value.reason
    assert "secret" not in caught.value.reason


def test_the_key_does_not_appear_in_the_configurations_text() -> None:
    assert "secret" not in repr(Configuration(url="http://h", api_key="secret"))
