"""This file measures how long it takes from `publish` to the first good prediction of what was published."""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.figures import Figure, median
from benchmarks.stage import Stage, call, until
from services.embedded.parts import find
from tests.e2e.platform import write_project

HOW = (
    "From the start of `modelway publish` to the first answer that only the new version gives; one instance. Code "
    "only: the environment is there already. First build: it is made, from wheels in uv's cache. With scikit-learn "
    "the script trains a classifier while it is loaded."
)
REPEATS = 5
SMALL = ("click", "idna", "packaging")  # each makes an environment that the platform does not have yet
SCIKIT_LEARN = ("scikit-learn>=1.5,<2", "scikit-learn>=1.5,<2\nclick")
IRIS = (Path(__file__).parents[1] / "examples" / "iris" / "model.py").read_text(encoding="utf-8")
CALL: dict[str, object] = {"data": {"x": 1}}

Script = Callable[[int], str]  # one whose function gives this number
_numbers = itertools.count(1)


def run(stage: Stage) -> Sequence[Figure]:
    _fill_cache(stage)
    with stage.emptied_afterwards():
        first = [_by_sdk(stage, f"small-{package}", _echo, package) for package in SMALL]
        by_sdk, by_command = [], []
        for _ in range(REPEATS):  # in turn: both meet the same noise
            by_sdk.append(_by_sdk(stage, "small-click", _echo))
            by_command.append(_by_command(stage, "small-click", _echo))
        learned = [_by_sdk(stage, f"iris-{number}", _iris, wanted) for number, wanted in enumerate(SCIKIT_LEARN)]
        learned_again = [_by_sdk(stage, "iris-0", _iris) for _ in range(3)]
    return (
        median("code only, command line", by_command, "s", at_most=2),
        median("code only, SDK", by_sdk, "s", at_most=2),
        median("first build, one small package", first, "s"),
        median("first build, scikit-learn", learned, "s"),
        median("code only, scikit-learn", learned_again, "s"),
    )


def _fill_cache(stage: Stage) -> None:
    """Fetch the wheels as a build would: from then on they are in uv's cache."""
    for number, wanted in enumerate((*SMALL, SCIKIT_LEARN[0])):
        target = stage.folder / f"wheels-{number}"
        command = [str(find("uv")), "pip", "install", "--quiet", "--only-binary=:all:", "--target"]
        subprocess.run([*command, str(target), wanted], check=True, timeout=300)


def _echo(number: int) -> str:
    return f"def predict(x):\n    return {number}\n"


def _iris(number: int) -> str:
    return f"{IRIS}\nclassify = predict\n\n\ndef predict(x):\n    return classify(5, 3, 1, 0.2) and {number}\n"


def _by_sdk(stage: Stage, name: str, script: Script, requirements: str | None = None) -> float:
    number = next(_numbers)
    began = time.perf_counter()
    published = stage.publish(name, script(number), requirements=requirements)
    until(lambda: call(published.endpoint, published.token, CALL) == number, "the new version answers")
    return time.perf_counter() - began


def _by_command(stage: Stage, name: str, script: Script) -> float:
    number = next(_numbers)
    project = write_project(stage.folder / name, script(number))
    began = time.perf_counter()
    stage.platform.done("publish", str(project), "--name", name, "--file", "predict.py", "--function", "predict")
    took_s = time.perf_counter() - began
    # Looking up endpoint and token is not part of it: the command has printed both.
    model = stage.client.model(name)
    endpoint, token = stage.client.endpoint(model), stage.client.token(model)
    began = time.perf_counter()
    until(lambda: call(endpoint, token, CALL) == number, "the new version answers")
    return took_s + time.perf_counter() - began
