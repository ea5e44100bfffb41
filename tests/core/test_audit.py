"""The chain of hashes finds what was changed, removed or inserted, and where."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from services.core.audit import GENESIS, Link, chained, first_broken
from services.core.events import LabelMoved
from tests.makers import History, built, publish, ready


@pytest.fixture
def links() -> list[Link]:
    history = History().do(publish(1), built(1), ready(1), publish(2), built(2), ready(2))
    return list(chained(history.entries, head=GENESIS))


def test_an_untouched_history_holds(links: list[Link]) -> None:
    assert first_broken(links) is None


def test_one_changed_value_is_found_where_it_is(links: list[Link]) -> None:
    place = next(at for at, link in enumerate(links) if isinstance(link.entry.event, LabelMoved))
    forged = replace(links[place].entry, event=LabelMoved(label="latest", version_id=None, previous=None))
    links[place] = replace(links[place], entry=forged)
    assert first_broken(links) == place + 1


def test_a_removed_entry_is_found_where_it_was(links: list[Link]) -> None:
    del links[3]
    assert first_broken(links) == 4


def test_a_chain_is_continued_from_its_head(links: list[Link]) -> None:
    entries = [link.entry for link in links]
    first = chained(entries[:4], head=GENESIS)
    assert [*first, *chained(entries[4:], head=first[-1].hash)] == links
