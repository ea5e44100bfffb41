"""The table of cases that every harness answers alike, passed through a real instance in Python."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.harness_checks import CASES, MOST, TABLE, check, in_language, says, sent
from tests.harness.instances import Running

SCRIPT = TABLE.with_name("harness_functions.py")
Serve = Callable[[str], Running]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """The running instance of a function, started when it is first asked for."""
    instances: dict[str, Running] = {}

    def started(function: str) -> Running:
        if function not in instances:
            running = instances[function] = Running(Path(tempfile.mkdtemp(prefix="mwc-", dir="/tmp")))
            running.project.mkdir()
            shutil.copy(SCRIPT, running.project)
            running.ready(file=SCRIPT.name, function=function, max_body_bytes=MOST)
        return instances[function]

    yield started
    for running in instances.values():
        running.clean()
        shutil.rmtree(running.folder)


@pytest.mark.parametrize("case", CASES, ids=says)
def test_a_case_is_answered_as_the_table_says(serve: Serve, case: dict[str, Any]) -> None:
    case = in_language(case, "python")
    check(sent(serve(case["function"]), case), case)


def test_every_function_of_the_table_has_cases_and_is_described() -> None:
    functions = json.loads(TABLE.read_text())["functions"]
    assert {case["function"] for case in CASES} == set(functions)
    assert len({case["says"] for case in CASES}) == len(CASES)
