"""The benchmark of many models, with few: every event has its effect, and what it cost is counted."""

from __future__ import annotations

import pytest

from benchmarks import many
from benchmarks.router_alone import Crowd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def test_every_event_has_its_effect_and_what_it_cost_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "REPEATS", 1)
    monkeypatch.setattr(many, "REST_S", 0.05)
    monkeypatch.setattr(many, "WATCHED_S", 0.05)
    measured = await many.measure(Crowd(models=3, instances=2, sockets=2))
    assert {what: len(samples) for what, samples in measured.effects.items()} == dict.fromkeys(many.EVENTS, 1)
    assert all(0 <= sample < many.EFFECT_S for samples in measured.effects.values() for sample in samples)
    assert measured.busy.cpu_s["router"] > 0
    assert set(measured.memory) == {"haproxy", "router"}
    assert min(measured.memory.values()) > 1_000_000
