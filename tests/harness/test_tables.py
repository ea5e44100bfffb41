"""pandas and pydantic, which the harness never imports: in an environment of their own, as a user's would be."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.peers import peer

HARNESS = Path(__file__).resolve().parents[2] / "harness" / "python" / "src"
SCRIPT = """
from __future__ import annotations

import json, sys
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pydantic
from pydantic.dataclasses import dataclass

from modelway_harness.binding import Binding, DoesNotFit
from modelway_harness.encoding import NotJson, encode

class Row(pydantic.BaseModel):
    age: int = pydantic.Field(ge=0)
    tags: list[str] = []

    @pydantic.field_validator("tags")
    @classmethod
    def known(cls, tags):
        if "odd" in tags:
            raise ValueError("no such tag")
        if "broken" in tags:
            raise RuntimeError("the validator is broken")
        return tags

@dataclass
class Pair:
    left: int
    right: int = 0

def frame(x: pd.DataFrame): return {"columns": list(x.columns), "rows": x, "kinds": [str(k) for k in x.dtypes]}
def series(x: pd.Series): return x * 2
def labelled(x: pd.Series): return x.to_dict()
def moment(x: pd.Timestamp): return x
def model(x: Row): return x
def models(x: list[Row] | None): return [each.age for each in x or []]
def pair(x: Pair): return x
def checked(x: Annotated[int, pydantic.Field(gt=0)]): return x
def missing(): return pd.DataFrame({"t": pd.to_datetime(["2026-01-02", None]), "n": [1.5, None],
                                    "i": pd.array([1, None], dtype="Int64"), "s": ["a", None]})
def nat(): return [pd.NaT, pd.NA, pd.Timestamp("2026-01-02"), pd.Timedelta("1s"), pd.Timedelta("NaT")]
def categories(): return pd.Series(["a", "b"], dtype="category")
def index(): return pd.Index([1, 2])
def twice(): return {"f": pd.DataFrame([[1, 2]], columns=["a", "a"])}
def numbers(): return pd.DataFrame({1: [np.int8(2)], "b": [True]})
def deep(): return {"when": Row(age=1), "of": [Pair(1)]}

answers = []
for name, document in json.load(sys.stdin):
    function = globals()[name]
    try:
        call = Binding(name, function).bind(document)
        answers.append(json.loads(encode(function(*call.positional, **(call.named or {})))))
    except (DoesNotFit, NotJson) as refused:
        answers.append(f"{type(refused).__name__}: {refused}")
print(json.dumps(answers))
"""
ROWS = [{"a": 1, "b": "x"}, {"a": 2}]

CASES: list[tuple[str, Any, Any]] = [
    ("frame", ROWS, {"columns": ["a", "b"], "rows": [{"a": 1, "b": "x"}, {"a": 2, "b": None}], "kinds": ...}),
    ("frame", {"a": [1, 2], "b": [0.5, None]}, {"columns": ["a", "b"], "rows": ..., "kinds": ["int64", "float64"]}),
    ("frame", [], {"columns": [], "rows": [], "kinds": []}),
    ("frame", 3, "DoesNotFit: data.x must be a list of objects (the rows) or an object of lists (the columns), not 3"),
    ("frame", [{"a": 1}, 2], "DoesNotFit: data.x[1] must be an object, one row, not 2"),
    ("frame", {"a": [1], "b": [1, 2]}, "DoesNotFit: data.x.b must have 1 values as 'a' has, not 2"),
    (
        "frame",
        {"a": 1},
        "DoesNotFit: data.x.a must be a list, one column (or send the rows as a list of objects), not 1",
    ),
    ("series", [1, 2], [2, 4]),
    ("series", "a", "DoesNotFit: data.x must be a list, or an object of labels and values, not text"),
    ("labelled", {"p": 1}, {"p": 1}),
    ("moment", "2026-01-02T03:04:05", "2026-01-02T03:04:05"),
    ("moment", "soon", "DoesNotFit: data.x must be a date and time as ISO 8601 text, not text"),
    ("model", {"age": "3"}, {"age": 3, "tags": []}),
    (
        "model",
        {"age": -1},
        "DoesNotFit: data.x.age was refused by Row: Input should be greater than or equal to 0",
    ),
    ("model", {"age": 1, "tags": ["odd"]}, "DoesNotFit: data.x.tags was refused by Row: Value error, no such tag"),
    (
        "model",
        {"age": 1, "tags": ["broken"]},
        "DoesNotFit: data.x was refused by Row: RuntimeError: the validator is broken",
    ),
    ("models", [{"age": 1}, {"age": 2}], [1, 2]),
    ("models", None, []),
    ("models", [{"age": 1}, {}], "DoesNotFit: data.x[1].age was refused by Row: Field required"),
    ("pair", {"left": 1}, {"left": 1, "right": 0}),
    ("pair", {}, ...),
    ("checked", 0, "DoesNotFit: data.x was refused by it: Input should be greater than 0"),
    (
        "missing",
        None,
        [
            {"t": "2026-01-02T00:00:00", "n": 1.5, "i": 1, "s": "a"},
            {"t": None, "n": None, "i": None, "s": None},
        ],
    ),
    ("nat", None, [None, None, "2026-01-02T00:00:00", 1.0, None]),
    ("categories", None, ["a", "b"]),
    ("index", None, [1, 2]),
    ("twice", None, "NotJson: result['f'] has two columns of the same name"),
    ("numbers", None, [{"1": 2, "b": True}]),
    ("deep", None, {"when": {"age": 1, "tags": []}, "of": [{"left": 1, "right": 0}]}),
]
WITHOUT_ARGUMENTS = {"missing", "nat", "categories", "index", "twice", "numbers", "deep"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What every case came to; one process answers all of them."""
    script = tmp_path_factory.mktemp("tables") / "script.py"
    script.write_text(SCRIPT)
    documents = [(name, {"data": {} if name in WITHOUT_ARGUMENTS else {"x": value}}) for name, value, _ in CASES]
    done = subprocess.run(
        [peer("tables"), script],
        input=json.dumps(documents),
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{CASES[number][0]}-{number}")
def test_tables_and_models_are_taken_and_given(number: int, answers: list[Any]) -> None:
    expected = CASES[number][2]
    answer = answers[number]
    if isinstance(expected, dict) and isinstance(answer, dict):
        expected = {key: answer[key] if value is ... else value for key, value in expected.items()}
    if expected is ...:
        assert answer.startswith("DoesNotFit: data.x")
    else:
        assert answer == expected
