"""The table of cases that every harness answers alike, passed through a real instance of each."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.instances import Running

TABLE = Path(__file__).with_name("harness_cases.json")
CASES: list[dict[str, Any]] = json.loads(TABLE.read_text())["cases"]
SUFFIXES = [path.suffix for path in sorted(TABLE.parent.glob("harness_functions.*")) if path.suffix == ".py"]
HEAD = {"model_time_in_ms", "timing", "request_id", "release"}
REQUEST_ID = "IREU167VFABC3K4T"

Serve = Callable[[str, str], Running]


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """The running instance of a function, started when it is first asked for."""
    instances: dict[tuple[str, str], Running] = {}

    def started(suffix: str, function: str) -> Running:
        if (suffix, function) not in instances:
            folder = Path(tempfile.mkdtemp(prefix="mwc-", dir="/tmp"))
            running = instances[suffix, function] = Running(folder)
            running.project.mkdir()
            script = f"harness_functions{suffix}"
            shutil.copy(TABLE.with_name(script), running.project)
            running.ready(file=script, function=function, max_body_bytes=200_000)
        return instances[suffix, function]

    yield started
    for running in instances.values():
        running.clean()
        shutil.rmtree(running.folder)


def sent(running: Running, case: dict[str, Any]) -> httpx.Response:
    body = json.dumps(case["body"], ensure_ascii=False) if "body" in case else case["raw"] * case.get("times", 1)
    headers = {"Content-Type": case.get("content_type", "application/json"), "X-Request-Id": REQUEST_ID}
    transport = httpx.HTTPTransport(uds=str(running.sockets[0]))
    with httpx.Client(transport=transport, base_url="http://worker", timeout=20.0) as client:
        method = case.get("method", "POST")
        return client.request(method, case.get("path", "/model"), content=body.encode(), headers=headers)


def is_same(one: Any, other: Any) -> bool:
    """3 and 3.0 are the same to JSON; true and 1 are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["says"])
def test_a_case_is_answered_as_the_table_says(serve: Serve, suffix: str, case: dict[str, Any]) -> None:
    response = sent(serve(suffix, case["function"]), case)
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
        assert answer["request_id"] == REQUEST_ID
        assert isinstance(answer["model_time_in_ms"], int)
        assert isinstance(answer["timing"], int | float)


def test_every_function_of_the_table_has_cases_and_is_described() -> None:
    functions = json.loads(TABLE.read_text())["functions"]
    assert {case["function"] for case in CASES} == set(functions)
    assert len({case["says"] for case in CASES}) == len(CASES)
