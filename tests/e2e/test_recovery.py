"""Calls that take too long, and a deployer that falls silent: what follows is as declared, and then it is as before."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.model import RUNNING, UNREACHABLE, Model, model_of
from tests.e2e.platform import Platform
from tests.e2e.test_routers import SLEEPY, paused
from tests.load.load import calling, lane

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TIMEOUT_S = 2.0
TOO_LONG_S = 3600.0


@pytest.fixture(scope="module")
def model(platform: Platform) -> Iterator[Model]:
    """One instance with one worker of a function that works as long as it is asked to."""
    with model_of(platform, SLEEPY, parameters=(0,), replicas=1, requestTimeoutSeconds=TIMEOUT_S) as made:
        yield made


def test_a_call_past_its_timeout_is_answered_504_and_the_next_one_is_served(model: Model) -> None:
    for _ in range(2):
        began_at = time.monotonic()
        late = model.call(TOO_LONG_S)
        took_s = time.monotonic() - began_at
        assert late.status_code == 504
        assert late.json()["errors"]
        assert took_s >= TIMEOUT_S
        print(f"  504 after {took_s:.2f} s of {TIMEOUT_S:g} s")
        assert model.call().status_code == 200
    model.until_whole(1, 1)


def test_a_version_is_unreachable_while_its_deployer_is_silent_and_serves_all_the_same(
    platform: Platform, model: Model
) -> None:
    with (
        calling(lane("calls", model.endpoint(), model.token, model.body, per_second=20)) as load,
        load.during("a silent deployer") as part,
    ):
        with paused(platform.process("deployer")):
            shown = model.until(1, UNREACHABLE)
            assert shown["isPending"]
        model.until(1, RUNNING)
        model.until_whole(1, 1)
    assert part.ended.failed == []
