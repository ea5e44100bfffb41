"""One short seed of chaos, on a platform of its own; `make chaos` plays many."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from chaos.match import Match
from chaos.plan import draw_round
from tests.e2e.platform import platform

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_short_round_of_operations_and_deaths_leaves_everything_where_its_events_say(tmp_path: Path) -> None:
    plan = draw_round(1, 1, length_s=12, only=("deployer", "api", "steady-instance", "nats-emptied"))
    with platform() as running, closing(Match(running, tmp_path)) as match:
        played = match.play(plan)
    assert played.wrong == (), played
    assert played.sent > 50
    assert played.operations >= 3
