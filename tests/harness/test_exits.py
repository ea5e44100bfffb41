"""Last words: whole, short enough for who reads them, and in characters that can be written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from modelway_harness.exits import DETAIL_CHARACTERS, FAILED, OVERDUE, ending_of, write_exit

READ_BYTES = 64 << 10  # by the platform


@pytest.mark.parametrize("character", ["x", "é", "😀", "\0", "\udcff", "\x1b"])
def test_however_much_a_script_says_at_its_end_its_reason_can_be_read(tmp_path: Path, character: str) -> None:
    path = tmp_path / "exit.json"
    write_exit(path, reason=f"begins {character * 100_000}", detail=f"{character * 100_000} ends")
    left = json.loads(path.read_bytes()[:READ_BYTES].decode())
    left["reason"].encode()
    assert left["reason"].startswith("begins ")
    assert left["detail"].endswith(" ends")
    assert len(left["detail"]) <= DETAIL_CHARACTERS * 6


def test_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_exit(tmp_path / "exit.json", reason="r", detail="d")
    assert [each.name for each in tmp_path.iterdir()] == ["exit.json"]


def test_a_status_of_ours_is_told_in_words_and_any_other_as_it_is() -> None:
    assert [ending_of(status).word for status in (OVERDUE, FAILED, 7, -9)] == [
        "overdue",
        "failed",
        "status_7",
        "signal_9",
    ]
    assert ending_of(7).said == "ended with status 7"
