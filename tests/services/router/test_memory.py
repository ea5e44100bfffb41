"""What a router remembers over its own restarts: the last it was told to, wherever it was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.core.ids import InstanceId, VersionId
from services.core.known import Known
from services.core.records import Health
from services.router.haproxy import memory
from services.router.haproxy.files import Folder
from services.router.haproxy.memory import KNOWN, MOST, SINCE, FolderMemory


def verdict(name: str, revision: int) -> Health:
    return Health(
        revision=revision, instance_id=InstanceId(name), version_id=VersionId("1" * 24), is_ready=True, failures=0
    )


def known(**revisions: int) -> Known:
    return Known(health={name: verdict(name, revision) for name, revision in revisions.items()})


def recalled(folder: Path) -> Known | None:
    """By a router that was just started."""
    return FolderMemory(Folder(folder)).recall()


KNOWNS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 3)).map(lambda each: known(**each))


@given(st.lists(st.tuples(KNOWNS, st.booleans()), max_size=8))
def test_what_was_remembered_last_is_recalled(steps: list[tuple[Known, bool]]) -> None:
    with TemporaryDirectory() as place:
        folder = Path(place)
        mine = FolderMemory(Folder(folder))
        for what, is_restarted in steps:
            mine = FolderMemory(Folder(folder)) if is_restarted else mine
            mine.remember(what)
            assert recalled(folder) == what


def test_nothing_is_recalled_where_nothing_readable_is(tmp_path: Path) -> None:
    assert recalled(tmp_path) is None
    (tmp_path / KNOWN).write_text("{")
    assert recalled(tmp_path) is None


def test_a_change_of_a_few_entries_leaves_the_large_file_alone_and_one_of_many_makes_it_anew(tmp_path: Path) -> None:
    mine = FolderMemory(Folder(tmp_path))
    before = known(**{f"i{number}": 1 for number in range(2 * MOST)})
    mine.remember(before)
    whole = (tmp_path / KNOWN).read_bytes()
    mine.remember(Known(health={**before.health, "i1": verdict("i1", 2)}))
    assert (tmp_path / KNOWN).read_bytes() == whole
    assert (tmp_path / SINCE).stat().st_size < 500
    many = known(**{f"i{number}": 3 for number in range(2 * MOST)})
    mine.remember(many)
    assert (tmp_path / KNOWN).read_bytes() != whole
    assert recalled(tmp_path) == many


class Interrupted(Folder):
    """Writes one of the files no more."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        self._name = name

    def write_all(self, texts: Mapping[str, str]) -> None:
        if self._name in texts:
            raise OSError("interrupted")
        super().write_all(texts)


@pytest.mark.parametrize(("name", "expected"), [(KNOWN, known(a=2)), (SINCE, known(a=3))])
def test_who_is_interrupted_while_all_is_written_anew_has_the_state_before_or_the_one_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: Known
) -> None:
    mine = FolderMemory(Folder(tmp_path))
    mine.remember(known(a=1))
    mine.remember(known(a=2))
    monkeypatch.setattr(memory, "MOST", 0)
    mine._folder = Interrupted(tmp_path, name)
    with pytest.raises(OSError, match="interrupted"):
        mine.remember(known(a=3))
    assert recalled(tmp_path) == expected
    mine._folder = Folder(tmp_path)
    mine.remember(known(a=4))
    assert recalled(tmp_path) == known(a=4)
