"""Marks of use, and taking away what has none: also when somebody marks it at the very same moment."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.kit import aging
from services.kit.aging import look, mark_used, take_away, used_at

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
SINCE = LONG_AGO + timedelta(hours=1)


def make_old(path: Path) -> Path:
    os.utime(path, (LONG_AGO.timestamp(), LONG_AGO.timestamp()))
    return path


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "store" / "old"
    path.parent.mkdir()
    path.write_text("content")
    return make_old(path)


def test_what_nobody_used_is_taken_away_and_what_was_marked_is_not(old: Path) -> None:
    assert mark_used(old)
    assert not take_away(old, unused_since=SINCE)
    assert old.read_text() == "content"
    make_old(old)
    assert take_away(old, unused_since=SINCE)
    assert list(old.parent.iterdir()) == []
    assert not mark_used(old)
    assert not take_away(old, unused_since=SINCE)


def test_a_folder_goes_with_all_that_is_in_it_though_none_of_it_may_be_written(tmp_path: Path) -> None:
    inside = tmp_path / "version" / "mnt" / "ada"
    inside.mkdir(parents=True)
    (inside / "a.py").touch(0o444)
    for folder in (inside, inside.parent):
        folder.chmod(0o555)
    assert take_away(make_old(tmp_path / "version"), unused_since=SINCE)
    assert list(tmp_path.iterdir()) == []


def test_what_is_marked_while_it_is_being_taken_away_is_back_in_its_place(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used_meanwhile(path: Path) -> datetime | None:
        before = used_at(path)
        if path == old:
            assert mark_used(old)
        return before

    monkeypatch.setattr(aging, "used_at", used_meanwhile)
    assert not take_away(old, unused_since=SINCE)
    assert old.read_text() == "content"
    assert [each.name for each in look(old.parent)] == ["old"]


def test_a_look_tells_names_ages_and_sizes_and_a_folder_that_is_not_there_holds_nothing(old: Path) -> None:
    (held,) = look(old.parent)
    assert (held.name, held.used_at, held.size_bytes) == ("old", LONG_AGO, 7)
    assert look(old.parent / "absent") == []
