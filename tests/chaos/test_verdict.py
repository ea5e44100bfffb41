"""The verdict of chaos: what events and orders say should be, and which failed calls a fault explains."""

from __future__ import annotations

import pytest

from chaos.expected import RUN, STOP, Order, broken_promises, read_history
from chaos.faults import Excuse
from chaos.match import unexplained
from tests.e2e.platform import FailedCall

Item = dict[str, object]


def happened(what: str, **details: object) -> Item:
    return {"what": what, "details": details}


def published(version_id: str, number: int) -> list[Item]:
    return [
        happened("version.published", version_id=version_id, number=number),
        happened("version.deployment-ordered", version_id=version_id, generation=1),
    ]


def ready(version_id: str) -> list[Item]:
    return [
        happened("build.completed", version_id=version_id),
        happened("version.became-ready", version_id=version_id, generation=1),
        happened("label.moved", label="latest", version_id=version_id),
    ]


def stopped(version_id: str) -> list[Item]:
    return [happened("version.stop-ordered", version_id=version_id), happened("version.stopped", version_id=version_id)]


def test_a_version_is_where_its_last_events_put_it() -> None:
    history = read_history([*published("a", 1), *ready("a"), *published("b", 2), *ready("b"), *stopped("a")])
    assert {each: told.status for each, told in history.versions.items()} == {"a": "Stopped", "b": "Running"}
    assert history.latest == "b"


def test_a_version_stopped_before_it_was_built_is_ready_to_run() -> None:
    stop = happened("version.stop-ordered", version_id="a")
    history = read_history([*published("a", 1), stop, happened("build.completed", version_id="a")])
    assert history.versions["a"].status == "Ready to run"


def test_a_revoked_token_is_gone() -> None:
    made, revoked = (happened(f"token.{what}", token_id="t") for what in ("created", "revoked"))
    assert read_history([made]).tokens == {"t"}
    assert read_history([made, revoked]).tokens == set()


@pytest.mark.parametrize(
    ("orders", "is_kept"),
    [
        ([Order("a", RUN), Order("b", RUN)], True),
        ([Order("a", RUN), Order("b", RUN), Order("a", RUN)], False),
        ([Order("a", RUN), Order("b", RUN), Order("b", STOP)], False),
        ([Order("a", RUN), Order("b", RUN), Order("unheard", RUN)], False),
        ([Order("b", RUN), Order("a", RUN, is_broken=True)], True),
    ],
)
def test_what_was_ordered_last_has_to_be_so(orders: list[Order], is_kept: bool) -> None:
    history = read_history([*published("a", 1), *ready("a"), *published("b", 2), *ready("b"), *stopped("a")])
    assert (broken_promises(orders, history) == []) is is_kept


def test_a_fault_explains_so_many_failed_calls_at_its_time_and_no_more() -> None:
    calls = [FailedCall(10.0, 10.5, "first"), FailedCall(10.1, 10.6, "second"), FailedCall(40.0, 41.0, "late")]
    assert unexplained(calls, [Excuse(10.2, 12.0, 1)]) == calls[1:]
    assert unexplained(calls, [Excuse(10.2, 12.0, 2), Excuse(0.0, 50.0, 1)]) == []
