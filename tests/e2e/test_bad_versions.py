"""New versions that are no good: the one before serves every request, and the new one says why it does not."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.model import FAILED, RUNNING, STALLED, STOPPED, Model, model_of
from tests.e2e.platform import Platform
from tests.load.load import Load, Slice, calling, lane
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GOOD = "def predict(x):\n    return x\n"
CRASHING = "import os\nos._exit(3)\n" + GOOD
GREEDY = "kept = b'x' * (400 << 20)\nimport time\ntime.sleep(600)\n" + GOOD
RAISING = "def predict(x):\n    raise ValueError('no such colour')\n"
WAITING = "import os, time\nwhile not os.path.exists({path!r}):\n    time.sleep(0.05)\n" + GOOD
MEMORY_BYTES = 200 << 20
START_DEADLINE_S = 6.0

BAD: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("crashes at start", CRASHING, {}, FAILED, "3"),
    ("runs out of memory", GREEDY, {}, FAILED, "200 MiB of memory"),
    ("answers health and fails its example", RAISING, {"exampleInput": {"parameters": [1]}}, FAILED, "no such colour"),
]


@pytest.fixture(scope="module")
def model(platform: Platform) -> Iterator[Model]:
    with model_of(platform, GOOD, memoryBytes=MEMORY_BYTES, startDeadlineSeconds=START_DEADLINE_S) as made:
        yield made


@pytest.fixture(scope="module")
def load(model: Model) -> Iterator[Load]:
    lanes = [
        lane(f"router {router}", model.endpoint(router=router), model.token, model.body, per_second=15)
        for router in range(len(model.urls))
    ]
    with calling(*lanes) as running:
        yield running


@pytest.mark.parametrize(("what", "script", "fields", "status", "reason"), BAD, ids=[each[0] for each in BAD])
def test_it_says_why_and_the_one_before_serves_on(
    model: Model, load: Load, what: str, script: str, fields: dict[str, Any], status: str, reason: str
) -> None:
    serving = model.number_of("latest")
    with load.during(what) as part:
        bad = model.publish(script, **fields)
        shown = _until_it_ends(model, bad, status, serving)
        assert (shown["status"], shown["isPending"]) == (status, status == STALLED), shown
        assert reason in shown["reason"], shown["reason"]
        assert "\n" not in shown["reason"]
        _end(model, bad)
    _is_unharmed(part, serving)
    assert model.labels()["latest"] == model.versions[serving]


def test_one_that_hangs_at_import_is_stalled_and_takes_over_once_it_goes_on(model: Model, load: Load) -> None:
    serving = model.number_of("latest")
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        Path(folder).chmod(0o755)
        go = Path(folder) / "go"
        with load.during("hangs at import") as hanging:
            slow = model.publish(WAITING.format(path=str(go)))
            shown = _until_it_ends(model, slow, STALLED, serving)
            assert (shown["status"], shown["isPending"]) == (STALLED, True)
            assert f"not ready after {START_DEADLINE_S:g} s" in shown["reason"]
        _is_unharmed(hanging, serving)
        with load.during("goes on") as going_on:
            go.touch()
            model.until_whole(slow)
            model.until_answers(slow)
            model.until(serving, STOPPED)
        assert going_on.ended.failed == []
        assert model.labels()["latest"] == model.versions[slow]


def _until_it_ends(model: Model, bad: int, status: str, serving: int) -> dict[str, Any]:
    """The deployment of `bad` once it has `status`; until then nothing about `serving` changes."""
    seen: list[tuple[str, str]] = []

    def has_ended() -> bool:
        seen.append((model.labels()["latest"], model.deployment(serving)["status"]))
        return model.deployment(bad)["status"] in (status, RUNNING)

    wait_for(has_ended, 60, what=f"version {bad} ends")
    assert set(seen) == {(model.versions[serving], RUNNING)}
    return model.deployment(bad)


def _end(model: Model, bad: int) -> None:
    if model.deployment(bad)["isPending"]:
        model.set_running(bad, is_running=False)
        model.until(bad, STOPPED, FAILED)


def _is_unharmed(part: Slice, serving: int) -> None:
    assert part.ended.failed == []
    assert set(part.ended.versions()) == {serving}
