"""Annotations, hooks and the document of a function, in a real instance."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

from tests.harness.instances import Running

SCRIPT = """
from __future__ import annotations
import threading
from dataclasses import dataclass, field
from datetime import date

state = []

def init():
    state.append(threading.get_ident())

@dataclass
class Flower:
    length: float
    seen: date | None = None

    def __post_init__(self):
        if self.length < 0:
            raise ValueError("no flower is shorter than nothing")

def predict(flowers: list[Flower], *, mark: str = "") -> dict[str, object]:
    return {
        "mark": mark,
        "flowers": flowers,
        "same_thread": state == [threading.get_ident()],
    }
"""


def test_a_typed_function_is_served(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    answer = instance.call(flowers=[{"length": 1, "seen": "2026-01-02"}]).json()
    flower = {"length": 1.0, "seen": "2026-01-02"}
    assert answer["result"] == {"mark": "", "flowers": [flower], "same_thread": True}
    refused = instance.call(flowers=[{"length": 1}, {"length": "2"}])
    assert (refused.status_code, refused.json()["errors"]) == (
        400,
        ["data.flowers[1].length must be a number, not text"],
    )
    refused = instance.call(flowers=[{"length": -1}])
    assert (refused.status_code, refused.json()["errors"]) == (
        400,
        ["data.flowers[0] was refused by Flower: ValueError: no flower is shorter than nothing"],
    )
    document = instance.get("/openapi.json").json()
    assert set(document["components"]["schemas"]) == {"Flower", "Errors"}


def test_calls_at_the_same_time_never_see_each_others_data(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(workers=2)

    def ask(number: int) -> bool:
        mark = f"{number}-" * 50
        answer = instance.call(
            worker=number % 2, headers={"X-Modelway-Hold-Ms": "10000"}, flowers=[{"length": number}], mark=mark
        )
        result = answer.json()["result"]
        return bool(result["mark"] == mark and result["flowers"] == [{"length": float(number), "seen": None}])

    with ThreadPoolExecutor(8) as callers:
        assert all(callers.map(ask, range(120)))


def test_an_init_that_fails_ends_the_instance_with_its_reason(instance: Running) -> None:
    instance.write("def init():\n    raise OSError('no weights')\ndef predict(): ...\n")
    instance.start()
    assert instance.ended_with() == 3
    assert "init() of predict.py failed: OSError: no weights (predict.py:2)" in instance.exit_file.read_text()


def test_a_script_is_shut_down_when_its_instance_ends(instance: Running) -> None:
    instance.write("def shutdown():\n    print('gone in good order')\ndef predict(): ...\n")
    instance.ready(workers=2)
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0
    assert instance.says("stdout").count("gone in good order") == 2


def test_a_shutdown_that_fails_is_in_the_log(instance: Running) -> None:
    instance.write("def shutdown():\n    raise OSError('still open')\ndef predict(): ...\n")
    instance.ready()
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0
    assert "shutdown_failed" in instance.says()
    assert "OSError: still open" in instance.says()


def test_a_shutdown_that_hangs_does_not_keep_the_instance(instance: Running) -> None:
    instance.write("import time\ndef shutdown():\n    time.sleep(1000)\ndef predict(): ...\n")
    instance.ready(grace_s=1.0)
    instance.signal(signal.SIGTERM)
    instance.ended_with()
