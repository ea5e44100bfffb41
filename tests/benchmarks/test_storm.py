"""The lean load counts what was answered, on a real instance."""

from __future__ import annotations

from benchmarks.harness import CALL
from benchmarks.instance_alone import gunicorn_alone, instance_alone
from benchmarks.processes import lives
from benchmarks.storm import storm

SCRIPT = "calls = 0\ndef predict(x):\n    global calls\n    calls += 1\n    return calls % 2 or 1 / 0\n"


def test_every_call_is_counted_as_what_it_was_answered_with() -> None:
    with instance_alone(SCRIPT) as instance:
        outcome = storm(instance.address, CALL, connections=4, seconds=0.3)
    assert outcome.calls_ms
    assert outcome.health_ms
    assert set(outcome.failures) == {"500"}
    assert abs(outcome.failures["500"] - len(outcome.calls_ms)) <= 4


def test_the_memory_of_an_instance_is_its_worker_and_what_its_supervisor_has_alone() -> None:
    with instance_alone(SCRIPT) as instance:
        worker, supervisor = instance.worker.memory_info().rss, instance.supervisor.memory_info().rss
        assert worker < instance.memory_bytes < worker + supervisor


def test_gunicorn_alone_answers_and_leaves_nothing_behind() -> None:
    with gunicorn_alone() as instance:
        assert instance.started_s > 0
        processes = [instance.supervisor, instance.worker]
    assert not [each for each in processes if lives(each)]
