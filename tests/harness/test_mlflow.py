"""MLflow models, saved by MLflow itself, loaded and called in an environment like their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.instances import Running, until
from tests.mlflow_models import saved
from tests.peers import peer

HARNESS = Path(__file__).resolve().parents[2] / "harness" / "python" / "src"
ROW = {"x": 1, "y": 2}
TABLE: list[tuple[str, dict[str, Any]]] = [
    ("columns of one row", {"x": 1, "y": 2}),
    ("columns of many rows", {"x": [1, 1], "y": [2, 2]}),
    ("split", {"dataframe_split": {"columns": ["y", "x"], "data": [[2, 1]], "index": [7]}}),
    ("records, with one too many", {"dataframe_records": [{"x": 1, "y": 2, "z": 3}]}),
    ("instances as objects", {"instances": [ROW]}),
    ("inputs as columns", {"inputs": {"x": [1], "y": [2]}}),
    ("inputs as rows", {"inputs": [ROW]}),
]
CALLS = """
import json, sys
from pathlib import Path
from modelway_harness.binding import Binding, DoesNotFit
from modelway_harness.encoding import encode
from modelway_harness.loader import load
from modelway_harness.openapi import describe

folder, asked, loaded = Path(sys.argv[1]), json.load(sys.stdin), {}
for path in folder.iterdir():
    loaded[path.name] = Binding("predict", load(folder, f"{path.name}/MLmodel", "predict"))
answers = []
for name, data in asked:
    try:
        call = loaded[name].bind({"data": data})
        answers.append(json.loads(encode(loaded[name].function(*call.positional, **call.named))))
    except DoesNotFit as error:
        answers.append(str(error))
described = {name: describe(binding.function, name=name) for name, binding in loaded.items()}
print(json.dumps({"answers": answers, "described": described}))
"""
NAMES = "'x', 'y', 'when', 'raw', 'is it', 'short', 'rough', 'many', and 1 more"
WORDS = "'dataframe_split', 'dataframe_records', 'instances', and 'inputs'"


def given(rows: Any, kinds: Any, **params: Any) -> dict[str, Any]:
    return {"input": rows, "kinds": kinds, "params": params or None}


DEFAULTS = {"top": 3, "names": ["a"]}
PLAIN = given([{"x": 1.0, "y": 2}], ["float64", "int64"], **DEFAULTS)
ALL = {
    "x": [1, None],
    "y": [2, 3.0],
    "when": ["2026-01-02T03:04:05+02:00", None],
    "raw": ["aGk=", "aGk="],
    "is it": [True, None],
    "short": [1, 2],
    "rough": [0.5, None],
    "many": [[1, 2], []],
    "point": [{"name": "a"}, {"name": "b", "at": 1}],
}
ALL_ROWS = [
    {"x": 1.0, "y": 2, "when": "2026-01-02T01:04:05", "raw": "aGk=", "is it": True, "short": 1, "rough": 0.5,
     "many": [1.0, 2.0], "point": {"name": "a"}},
    {"x": None, "y": 3, "when": None, "raw": "aGk=", "is it": None, "short": 2, "rough": None, "many": [],
     "point": {"name": "b", "at": 1.0}},
]  # fmt: skip
ALL_KINDS = ["float64", "int64", "datetime64[ns]", "object", "object", "int32", "float32", "object", "object"]
FLOATS = given([[1.0, 2.0]], "float32")
NAMED = given({"a": [[1.0, 2.0]], "inputs": [3]}, "dict")

CASES: list[tuple[str, str, dict[str, Any], Any]] = [
    *(("table", what, data, None) for what, data in TABLE),
    ("table", "every type", ALL, given(ALL_ROWS, ALL_KINDS, **DEFAULTS)),
    ("table", "parameters", {**ROW, "params": {"top": 5, "names": None}},
     {**PLAIN, "params": {"top": 5, "names": ["a"]}}),
    ("table", "parameters beside a word", {"inputs": [ROW], "params": {"names": ["b", "c"]}},
     {**PLAIN, "params": {"top": 3, "names": ["b", "c"]}}),
    ("table", "no rows", {"dataframe_records": []}, {**PLAIN, "input": []}),
    ("table", "an optional column that is null", {**ROW, "short": None}, PLAIN),
    ("table", "a column that lacks", {"x": 1}, "data is without 'y'"),
    ("table", "a row that lacks a column", {"inputs": [ROW, {"x": 1}]}, "data.inputs[1] is without 'y'"),
    ("table", "an unknown column", {**ROW, "z": 1},
     f"data has 'z', which it must not: it takes the columns {NAMES}, or one of {WORDS}"),
    ("table", "text for a number", {**ROW, "y": "2"}, "data.y must be a whole number, not text"),
    ("table", "a fraction", {"x": [1, 2], "y": [1, 2.5]}, "data.y[1] must be a whole number, not 2.5"),
    ("table", "the place in a record", {"dataframe_records": [ROW, {"x": True, "y": 1}]},
     "data.dataframe_records[1].x must be a number or null, not true"),
    ("table", "the place in split", {"dataframe_split": {"columns": ["x", "y"], "data": [[1, 2], [1, "a"]]}},
     "data.dataframe_split.data[1][1] must be a whole number, not text"),
    ("table", "the place in an object", {**ROW, "point": {"name": 1}}, "data.point.name must be text, not 1"),
    ("table", "a row of another length", {"dataframe_split": {"columns": ["x", "y"], "data": [[1]]}},
     "data.dataframe_split.data[0] must have 2 values, not 1"),
    ("table", "too large for 32 bits", {**ROW, "short": 2**31},
     "data.short must be a whole number of 32 bits, not 2147483648"),
    ("table", "a moment that is none", {**ROW, "when": "soon"},
     "data.when must be a date and time as ISO 8601 text or null, not 'soon'"),
    ("table", "some whole numbers lack", {"x": [1, 2], "y": [1, 2], "short": [None, 1]},
     "data.short[0] must be a whole number, not null: either every row has one, or none"),
    ("table", "columns of several lengths", {"x": [1, 2], "y": [1]}, "data.y must have 2 values as 'x' has, not 1"),
    ("table", "one row and many", {"x": [1], "y": 2}, "data.y must be a list as another column is, not 2"),
    ("table", "two words", {"inputs": [ROW], "instances": [ROW]},
     "data has 'instances' and 'inputs', of which it must have one"),
    ("table", "an unknown parameter", {**ROW, "params": {"k": 1}},
     "data.params has 'k', which it must not (it takes 'top' and 'names')"),
    ("table", "a wrong parameter", {**ROW, "params": {"names": ["a", 1]}},
     "data.params.names[1] must be text, not 1"),
    ("tensor", "inputs", {"inputs": [[1, 2]]}, FLOATS),
    ("tensor", "instances", {"instances": [[1, 2]]}, FLOATS),
    ("tensor", "another shape", {"inputs": [[1, 2, 3]]}, "data.inputs must be of the shape [any, 2], not [1, 3]"),
    ("tensor", "ragged", {"inputs": [[1, 2], [1]]},
     "data.inputs[1] must be a list of 2 values as the first is, not of 1"),
    ("tensor", "a table", {"dataframe_records": [ROW]},
     "data has 'dataframe_records', which does not suit this model: it takes 'instances' and 'inputs'"),
    ("tensors", "by their names", {"a": [[1, 2]], "inputs": [3]}, NAMED),
    ("tensors", "behind a word that is a name too", {"inputs": {"a": [[1, 2]], "inputs": [3]}}, NAMED),
    ("tensors", "rows", {"instances": [{"a": [1, 2], "inputs": 3}]}, NAMED),
    ("tensors", "one lacks", {"a": [[1, 2]]}, "data is without 'inputs'"),
    ("tensors", "a fraction", {"a": [[1, 2]], "inputs": [0.5]}, "data.inputs[0] is 0.5, which int64 cannot hold"),
    ("texts", "a list", {"inputs": ["a", "b"]}, given([{"0": "a"}, {"0": "b"}], ["object"])),
    ("texts", "one", {"inputs": "a"}, given([{"0": "a"}], ["object"])),
    ("texts", "a number", {"instances": ["a", 1]}, "data.instances[1] must be text or null, not 1"),
    ("places", "rows", {"inputs": [[1, "a"]]}, given([{"0": 1.0, "1": "a"}], ["float64", "object"])),
    ("places", "the place", {"dataframe_split": {"data": [[1, 2]]}},
     "data.dataframe_split.data[0][1] must be text or null, not 2"),
    ("unsigned", "an array", {"inputs": [[1, 2]]}, given([[1, 2]], "int64")),
    ("unsigned", "a table", {"dataframe_split": {"columns": ["a"], "data": [[1]]}}, given([{"a": 1}], ["int64"])),
    ("unsigned", "columns alone", {"a": 1}, f"data has 'a', which it must not: it takes one of {WORDS}"),
    ("hinted", "a list", {"inputs": ["a"]}, ["A"]),
    ("hinted", "no list", {"inputs": 1}, "data was refused by MLflow: "),
    ("sklearn", "a row", {"rooms": 4, "area (m2)": 90}, [400.0]),
    ("sklearn", "rows by place", {"instances": [[4, 90], [1, 30]]}, [400.0, 100.0]),
]  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(peer("mlflow"), tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def told(models: Path) -> dict[str, Any]:
    """What each case is answered with, and the descriptions of all models: one process for all."""
    done = subprocess.run(
        [peer("mlflow"), "-W", "ignore", "-c", CALLS, str(models)],
        input=json.dumps([(model, data) for model, _, data, _ in CASES]),
        env={**os.environ, "PYTHONPATH": str(HARNESS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("at", range(len(CASES)), ids=[f"{model}: {what}" for model, what, _, _ in CASES])
def test_what_a_call_holds_becomes_what_the_models_signature_wants(told: dict[str, Any], at: int) -> None:
    expected = PLAIN if CASES[at][3] is None else CASES[at][3]
    answer = told["answers"][at]
    if CASES[at][1] == "columns of many rows":
        answer = {**answer, "input": answer["input"][:1]}
    if isinstance(expected, str) and expected.endswith(": "):  # the rest is MLflow's own
        assert answer.startswith(expected)
    elif CASES[at][0] == "sklearn":
        assert answer == pytest.approx(expected)
    else:
        assert answer == expected


def test_a_model_is_described_by_its_signature_with_the_example_that_it_was_saved_with(told: dict[str, Any]) -> None:
    call = told["described"]["table"]["paths"]["/model"]["post"]
    media = call["requestBody"]["content"]["application/json"]
    assert media["example"] == {"data": {"dataframe_split": {"columns": ["x", "y"], "data": [[1.5, 2]]}}}
    ways = media["schema"]["properties"]["data"]["anyOf"]
    one_row, columns = ways[0]["anyOf"]
    assert one_row["required"] == columns["required"] == ["x", "y"]
    assert one_row["properties"]["y"] == {"type": "integer", "format": "int64"}
    assert columns["properties"]["y"] == {"type": "array", "items": {"type": "integer", "format": "int64"}}
    assert [way["required"] for way in ways[1:]] == [
        ["dataframe_split"],
        ["dataframe_records"],
        ["instances"],
        ["inputs"],
    ]
    params = told["described"]["table"]["components"]["schemas"]["Params"]["properties"]
    assert params["top"]["default"] == 3
    without = told["described"]["tensor"]["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]
    assert "example" not in without
    assert "sklearn" in told["described"]["sklearn"]["info"]["description"]


@pytest.fixture
def with_mlflow(instance: Running, models: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("PYTHONPATH", str(HARNESS))
    instance.program = (str(peer("mlflow")), "-m", "modelway_harness")
    shutil.copytree(models / "table", instance.project / "sub")
    instance.file = "sub/MLmodel"
    return instance


def test_an_mlflow_model_is_an_instance_like_any_other(with_mlflow: Running) -> None:
    with_mlflow.ready(example_input=json.dumps({"data": ROW}))
    answer = with_mlflow.call(x=1, y=2)
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"] == PLAIN
    refused = with_mlflow.call(x=1)
    assert refused.status_code == 400
    assert refused.json()["errors"] == ["data is without 'y'"]
    failed = with_mlflow.call(x=13, y=1)
    assert failed.status_code == 500
    assert failed.json()["errors"] == ["ValueError: thirteen"]
    document = with_mlflow.get("/openapi.json").json()
    assert "example" in document["paths"]["/model"]["post"]["requestBody"]["content"]["application/json"]
    assert "dataframe_split" in json.dumps(document)


def test_the_columns_of_an_mlflow_model_may_come_as_tensors(with_mlflow: Running, models: Path) -> None:
    shutil.copytree(models / "sklearn", with_mlflow.project / "prices")
    with_mlflow.ready(file="prices/MLmodel")
    tensors = [
        {"name": "rooms", "shape": [2], "datatype": "FP64", "data": [4, 1]},
        {"name": "area (m2)", "shape": [2], "datatype": "FP64", "data": [90, 30]},
    ]
    transport = httpx.HTTPTransport(uds=str(with_mlflow.sockets[0]))
    with httpx.Client(transport=transport, base_url="http://worker") as client:
        inferred = client.post("/v2/models/predict/infer", json={"inputs": tensors})
    assert inferred.status_code == 200, inferred.text
    assert inferred.json()["outputs"][0]["data"] == pytest.approx([400.0, 100.0])


def test_an_mlflow_model_whose_content_is_broken_says_so(with_mlflow: Running) -> None:
    (with_mlflow.project / "sub" / "python_model.pkl").write_bytes(b"no pickle")
    with_mlflow.start()
    assert with_mlflow.ended_with() == 3
    assert json.loads(with_mlflow.exit_file.read_text())["reason"].startswith("sub/MLmodel could not be loaded: ")


def test_an_mlflow_model_without_mlflow_says_what_is_missing(instance: Running) -> None:
    instance.write("flavors: {}\n", file="MLmodel")
    instance.start(file="MLmodel")
    assert instance.ended_with() == 3
    until(instance.exit_file.exists, "the reason")
    reason = json.loads(instance.exit_file.read_text())["reason"]
    assert reason == "MLmodel needs mlflow, or mlflow-skinny, which is not installed: name it in the requirements"
