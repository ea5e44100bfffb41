"""`init` and `shutdown` of a script."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from modelway_harness.hooks import Hooks
from modelway_harness.loader import LoadFailed, load

SCRIPT = """
seen = ["imported"]
def init():
    seen.append("init")
def shutdown(*, quickly=False):
    seen.append("shutdown")
def predict():
    return seen
"""


def loaded(project: Path, script: str, hooks: Hooks | None = None) -> object:
    (project / "predict.py").write_text(script)
    return load(project, "predict.py", "predict", hooks)()


def test_init_runs_once_after_the_import_and_shutdown_once_at_the_end(project: Path) -> None:
    hooks = Hooks()
    seen = loaded(project, SCRIPT, hooks)
    assert seen == ["imported", "init"]
    assert hooks.has_end
    assert hooks.end() == ""
    assert hooks.end() == ""
    assert seen == ["imported", "init", "shutdown"]


def test_an_init_that_fails_is_a_failure_to_load_with_its_line(project: Path) -> None:
    with pytest.raises(LoadFailed) as failed:
        loaded(project, "def init():\n    raise OSError('no weights')\ndef predict(): ...\n")
    assert failed.value.reason == "init() of predict.py failed: OSError: no weights (predict.py:2)"
    assert failed.value.detail.splitlines()[1] == f'  File "{project}/predict.py", line 2, in init'


def test_an_init_that_exits_is_a_failure_too(project: Path) -> None:
    with pytest.raises(LoadFailed, match="SystemExit: 4"):
        loaded(project, "import sys\ndef init():\n    sys.exit(4)\ndef predict(): ...\n")


def test_a_shutdown_that_fails_gives_its_traceback_and_raises_nothing(project: Path) -> None:
    hooks = Hooks()
    loaded(project, "def shutdown():\n    raise SystemExit('gone')\ndef predict(): ...\n", hooks)
    assert hooks.end().splitlines()[-1] == "SystemExit: gone"


def test_async_hooks_run_in_the_loop_that_is_given(project: Path) -> None:
    script = """
import asyncio
async def init():
    global loop
    loop = asyncio.get_running_loop()
async def shutdown():
    assert loop is asyncio.get_running_loop()
def predict():
    return loop
"""
    with asyncio.Runner() as runner:
        hooks = Hooks(runner.run)
        assert loaded(project, script, hooks) is runner.get_loop()
        assert hooks.end() == ""


@pytest.mark.parametrize(
    "script",
    [
        "def init(weights): raise ValueError\ndef predict(): ...",
        "from math import floor as init\ndef predict(): ...",
        "from helper import init, shutdown\ndef predict(): ...",
        "init = shutdown = 3\ndef predict(): ...",
    ],
)
def test_what_only_bears_the_name_is_no_hook(project: Path, script: str) -> None:
    (project / "helper.py").write_text("def init(): raise ValueError\nshutdown = init\n")
    hooks = Hooks()
    loaded(project, script, hooks)
    assert not hooks.has_end


def test_the_served_function_is_no_hook(project: Path) -> None:
    (project / "predict.py").write_text("def init():\n    raise ValueError\n")
    load(project, "predict.py", "init")
