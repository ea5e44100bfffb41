from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from services.embedded import credentials
from services.embedded.home import open_home, write_whole
from services.embedded.trouble import Trouble


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_reads_secrets_state_and_logs_and_everyone_may_pass_to_environments(folder: Path) -> None:
    home = open_home(folder)
    assert mode(home.root) == 0o711
    for name in ("secrets", "config", "nats", "blobs", "logs", "haproxy", "locks"):
        assert mode(home / name) == 0o700, name
    assert mode(home / "environments") == 0o755
    assert mode(home.private_sockets) == 0o700


def test_opening_a_home_again_mends_its_permissions_and_keeps_its_secrets(folder: Path) -> None:
    key = credentials.read(credentials.api_key(open_home(folder)))
    (folder / "secrets").chmod(0o755)
    again = open_home(folder)
    assert mode(folder / "secrets") == 0o700
    assert credentials.read(credentials.api_key(again)) == key


def test_a_secret_is_one_private_file(folder: Path) -> None:
    path = credentials.token_keys(open_home(folder))
    assert mode(path) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["token-keys"]


def test_every_service_has_a_password_of_its_own(folder: Path) -> None:
    home = open_home(folder)
    passwords = {credentials.read(credentials.bus_password(home, name)) for name in ("api", "builder", "router")}
    assert len(passwords) == 3


def test_a_file_whose_writing_fails_keeps_its_old_text_and_leaves_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_whole(path, "old")

    def fail(_: int) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_home_with_a_long_path_has_its_sockets_in_a_short_private_folder(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 20)
    home = open_home(root)
    try:
        assert len(str(home.sockets)) < 50
        assert home.sockets == open_home(root).sockets
    finally:
        home.private_sockets.rmdir()
        home.sockets.rmdir()


def test_a_folder_of_the_home_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    open_home(folder)
    (folder / "blobs").rmdir()
    (folder / "blobs").symlink_to(tmp_path)
    with pytest.raises(Trouble, match="must be a folder that belongs to you"):
        open_home(folder)
