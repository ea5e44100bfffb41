"""pandas with tensors: series and tables, in an environment that has pandas."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.harness.test_tables import HARNESS
from tests.peers import peer

SCRIPT = """
import json, sys

import pandas as pd

from modelway_harness.binding import Binding, DoesNotFit
from modelway_harness.inference.request import read
from modelway_harness.inference.results import NotTensors, tensors_of
from modelway_harness.inference.slots import Slots
from modelway_harness.inference.tensors import NoTensor

def series(x: pd.Series): return x * 2
def table(rows: pd.DataFrame): return rows.assign(sum=rows.a + rows.b)
def beside(rows: pd.DataFrame, by: float): return rows
def missing(): return pd.DataFrame({"n": pd.array([1, None], dtype="Int64"), "t": pd.to_datetime(["2026-01-02"] * 2)})
def no_text(): return pd.DataFrame({"s": ["a", None]})

def asked(name, body):
    function = globals()[name]
    slots = Slots(name, function)
    if slots.why_not:
        return slots.why_not
    try:
        document = {"data": slots.arguments(read(body, json_length=None))}
        call = Binding(name, function).bind(document)
    except (NoTensor, DoesNotFit) as refused:
        return str(refused)
    try:
        given = tensors_of(function(**call.named))
    except NotTensors as refused:
        return str(refused)
    return [[each, tensor.datatype, tensor.json()] for each, tensor in given.items()]

print(json.dumps([asked(each["function"], json.dumps(each["body"]).encode()) for each in json.load(sys.stdin)]))
"""


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def request(function: str, *inputs: dict[str, Any]) -> dict[str, Any]:
    return {"function": function, "body": {"inputs": inputs}}


CASES: list[tuple[dict[str, Any], Any]] = [
    (request("series", tensor("x", "INT32", [1, 2])), [["output", "INT64", [2, 4]]]),
    (
        request("table", tensor("a", "FP32", [1, 2]), tensor("b", "INT64", [3, 4], [2, 1])),
        [["a", "FP64", [1, 2]], ["b", "INT64", [3, 4]], ["sum", "FP64", [4, 6]]],
    ),
    (
        request("table", tensor("a", "FP32", [1]), tensor("b", "FP32", [1, 2])),
        "data.rows.b must have 1 values as 'a' has, not 2",
    ),
    (
        request("table", tensor("a", "FP32", [1, 2], [1, 2])),
        "input 'a' must have one value a row, not the shape [1, 2]",
    ),
    (request("missing"), [["n", "FP64", [1, None]], ["t", "BYTES", ["2026-01-02T00:00:00"] * 2]]),
    (request("no_text"), "result['s'] holds text and null, and BYTES have no null"),
    (request("beside"), "beside() takes a table beside other arguments ('rows' and 'by'): send POST /model"),
]


@pytest.fixture(scope="module")
def answers() -> list[Any]:
    done = subprocess.run(
        [peer("tables"), "-c", SCRIPT],
        input=json.dumps([case for case, _ in CASES]),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("at", range(len(CASES)))
def test_tables_and_series_are_taken_and_given(answers: list[Any], at: int) -> None:
    assert answers[at] == CASES[at][1]
