"""The same table, passed through real instances of the R harness, one at a time: each is two processes of R."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from modelway_harness.openapi import describe

from tests.contracts.harness_checks import CASES, MOST, TABLE, check, in_language, says, sent
from tests.harness.r_instances import RunningR, need_r

SCRIPT = TABLE.with_name("harness_functions.R")
EXAMPLE = '{"parameters": ["Ada"]}'
Serve = Callable[[str], RunningR]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """The running instance of a function; the one before is ended."""
    need_r()
    running: dict[str, RunningR] = {}

    def started(function: str) -> RunningR:
        if function not in running:
            end()
            one = running[function] = RunningR(Path(tempfile.mkdtemp(prefix="mwc-", dir="/tmp")))
            one.project.mkdir()
            shutil.copy(SCRIPT, one.project)
            example = EXAMPLE if function == "greet" else ""
            one.ready(file=SCRIPT.name, function=function, max_body_bytes=MOST, example_input=example)
        return running[function]

    def end() -> None:
        while running:
            _, one = running.popitem()
            one.clean()
            shutil.rmtree(one.folder)

    yield started
    end()


def by_function(case: dict[str, Any]) -> str:
    return str(case["function"])


ORDERED: list[dict[str, Any]] = sorted(CASES, key=by_function)


@pytest.mark.parametrize("case", ORDERED, ids=says)
def test_r_answers_a_case_as_the_table_says(serve: Serve, case: dict[str, Any]) -> None:
    case = in_language(case, "r")
    check(sent(serve(case["function"]), case), case)


def test_r_describes_a_function_as_python_does(serve: Serve) -> None:
    assert call_of(serve("greet").get("/openapi.json").json()) == described_in_python()


def described_in_python() -> Any:
    """Of the same function, which has no annotations in Python either."""
    found = spec_from_file_location("harness_functions", TABLE.with_name("harness_functions.py"))
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return call_of(describe(module.greet, name="greet", version="3", example=EXAMPLE))


def call_of(document: dict[str, Any]) -> Any:
    return {"paths": {"/model": document["paths"]["/model"]}, "info": document["info"]}
