"""Environments of their own, for programs whose pins do not meet ours."""

from __future__ import annotations

import concurrent.futures
import subprocess
from pathlib import Path

import pytest

from tests import peers
from tests.peers import PeerMissing, peer


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    """One peer, which holds nothing: no package is fetched."""
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "empty.lock").write_text("# nothing\n")
    return folder


def test_an_environment_has_a_python_of_its_own(locks: Path, tmp_path: Path) -> None:
    python = peer("empty", locks=locks, root=tmp_path / "peers")
    prefix = subprocess.check_output([python, "-c", "import sys; print(sys.prefix)"], text=True)
    assert Path(prefix.strip()) == python.parent.parent
    assert python.is_relative_to(tmp_path)


def test_many_who_want_it_at_once_get_one_that_was_made_once(
    locks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []
    make = peers._make

    def counted(environment: Path, lock_file: Path, patience_s: float) -> None:
        made.append(environment)
        make(environment, lock_file, patience_s)

    monkeypatch.setattr(peers, "_make", counted)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        pythons = set(pool.map(lambda _: peer("empty", locks=locks, root=tmp_path / "peers"), range(4)))
    assert len(pythons) == len(made) == 1


def test_one_that_was_left_half_made_is_begun_again(locks: Path, tmp_path: Path) -> None:
    python = peer("empty", locks=locks, root=tmp_path / "peers")
    (python.parent.parent / ".ready").unlink()
    python.unlink()
    assert peer("empty", locks=locks, root=tmp_path / "peers") == python
    assert python.exists()


def test_another_lock_is_another_environment(locks: Path, tmp_path: Path) -> None:
    first = peer("empty", locks=locks, root=tmp_path / "peers")
    (locks / "empty.lock").write_text("# still nothing\n")
    assert peer("empty", locks=locks, root=tmp_path / "peers") != first


def test_what_cannot_be_installed_is_said(locks: Path, tmp_path: Path) -> None:
    (locks / "broken.lock").write_text("this is no requirement\n")
    with pytest.raises(PeerMissing, match="uv pip failed"):
        peer("broken", locks=locks, root=tmp_path / "peers")
