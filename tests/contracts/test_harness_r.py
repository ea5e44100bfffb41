"""The same table, passed through real instances of the R harness, one at a time: each is two processes of R."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.test_harness import CASES, HEAD, REQUEST_ID, TABLE, is_same, sent
from tests.harness.r_instances import RunningR, need_r

SCRIPT = TABLE.with_name("harness_functions.R")
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
            one.ready(file=SCRIPT.name, function=function, max_body_bytes=200_000)
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


def says(case: dict[str, Any]) -> str:
    return str(case["says"])


ORDERED: list[dict[str, Any]] = sorted(CASES, key=by_function)


@pytest.mark.parametrize("case", ORDERED, ids=says)
def test_r_answers_a_case_as_the_table_says(serve: Serve, case: dict[str, Any]) -> None:
    response = sent(serve(case["function"]), case)
    answer = response.json()
    assert (response.status_code, answer.get("errors", [])) == (case["status"], answer.get("errors", []))
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"] == REQUEST_ID
    if "errors" in case:
        assert len(answer["errors"]) == 1
        assert re.search(case["errors"], answer["errors"][0])
    if "result" in case:
        assert set(answer) == HEAD | {"result"}
        assert is_same(answer["result"], case["result"])
        assert isinstance(answer["model_time_in_ms"], int)
