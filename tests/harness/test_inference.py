"""The Open Inference Protocol of a worker: real sockets, functions of every kind, JSON and binary data."""

from __future__ import annotations

import dataclasses
import gzip
import json
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from modelway_harness.forms import Form, Schema
from modelway_harness.whole import TakesWhole
from numpy.typing import NDArray

from tests.harness.served import INSTANCE, Reply, Served

Array = NDArray[Any]
INFER = "/v2/models/predict/infer"


class Pair(NamedTuple):
    low: float
    high: float


@dataclasses.dataclass
class Both:
    label: str
    scores: list[float]


@contextmanager
def serving(folder: Path, function: Callable[..., object]) -> Iterator[Served]:
    served = Served(folder, function, replace(INSTANCE, max_body_bytes=100_000))
    try:
        yield served
    finally:
        served.stop()


def tensor(name: str, datatype: str, shape: list[int], data: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def inferred(served: Served, *inputs: dict[str, Any], path: str = INFER, **more: Any) -> Reply:
    body = json.dumps({"inputs": inputs, **more}).encode()
    return served.request("POST", path, body, {"Content-Type": "application/json"})


def outputs(reply: Reply) -> dict[str, tuple[str, list[int], Any]]:
    assert reply.status_code == 200, reply.data
    return {each["name"]: (each["datatype"], each["shape"], each["data"]) for each in reply.json()["outputs"]}


def scaled(x: NDArray[np.float32], by: float = 2.0) -> Any:
    return x * np.float32(by)


def kinds(**given: Any) -> Any:
    return {name: f"{type(value).__name__} {getattr(value, 'dtype', '')}" for name, value in given.items()}


def two(x: Array, y: Array) -> tuple[Array, Array]:
    return x + y, x * y


def listed(x: list[float]) -> float:
    return sum(x)


def words(x: list[str], sep: str = "-") -> str:
    return sep.join(x)


def raw(x: bytes, more: list[bytes]) -> bytes:
    return b"".join([x, *more])


def choice(x: Literal["a", "b"]) -> str:
    return x


def document(d: dict[str, Any]) -> Any:
    return d


def only(x: float, /) -> float:
    return x


def fails(x: Any) -> Any:
    raise ValueError("no such flower")


def test_an_array_is_taken_by_name_and_given_as_output(tmp_path: Path) -> None:
    with serving(tmp_path, scaled) as served:
        reply = inferred(served, tensor("x", "FP32", [2, 2], [1, 2, 3, 4.5]), id="seven")
    assert outputs(reply) == {"output": ("FP32", [2, 2], [2.0, 4.0, 6.0, 9.0])}
    told = reply.json()
    assert (told["id"], told["model_name"], told["model_version"]) == ("seven", "predict", "3")


@pytest.mark.parametrize(
    "path", [INFER, "/v2/models/predict/versions/3/infer", "/v2/models/m/infer", "/v2/models/pred%69ct/infer"]
)
def test_a_model_is_known_by_its_function_and_by_its_id(tmp_path: Path, path: str) -> None:
    with serving(tmp_path, scaled) as served:
        assert inferred(served, tensor("x", "FP32", [1], [1]), path=path).status_code == 200


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/v2/models/other/infer", "there is no model 'other' here; this is 'predict'"),
        ("/v2/models/predict/versions/2/infer", "there is no version '2' of 'predict' here; this is version '3'"),
        ("/v2/models/predict/load", "there is nothing at /v2/models/predict/load"),
    ],
)
def test_what_is_not_here_is_404_in_the_shape_of_the_protocol(tmp_path: Path, path: str, why: str) -> None:
    with serving(tmp_path, scaled) as served:
        reply = inferred(served, path=path)
    assert reply.status_code == 404
    assert reply.json()["error"].startswith(why)


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
def test_every_whole_datatype_is_numpys_own(tmp_path: Path, datatype: str) -> None:
    with serving(tmp_path, kinds) as served:
        given = outputs(inferred(served, tensor("x", datatype, [2], [1, 2])))
    assert given == {"x": ("BYTES", [1], [f"ndarray {datatype.lower()}"])}


@pytest.mark.parametrize(
    ("datatype", "data", "dtype"),
    [("BOOL", [True], "bool"), ("FP16", [1], "float16"), ("FP32", [1], "float32"), ("BYTES", ["ab"], "<U2")],
)
def test_every_other_datatype_is_numpys_own(tmp_path: Path, datatype: str, data: list[Any], dtype: str) -> None:
    with serving(tmp_path, kinds) as served:
        assert outputs(inferred(served, tensor("x", datatype, [1], data))) == {
            "x": ("BYTES", [1], [f"ndarray {dtype}"])
        }


@pytest.mark.parametrize(
    ("function", "inputs", "expected"),
    [
        (
            two,
            [tensor("x", "INT32", [2], [1, 2]), tensor("y", "INT32", [2], [3, 4])],
            {"output_0": ("INT32", [2], [4, 6]), "output_1": ("INT32", [2], [3, 8])},
        ),
        (listed, [tensor("x", "FP64", [3], [1, 2, 3])], {"output": ("FP64", [1], [6.0])}),
        (words, [tensor("x", "BYTES", [2], ["a", "b"])], {"output": ("BYTES", [1], ["a-b"])}),
        (
            words,
            [tensor("x", "BYTES", [2], ["a", "b"]), tensor("sep", "BYTES", [1], ["+"])],
            {"output": ("BYTES", [1], ["a+b"])},
        ),
        (words, [tensor("x", "BYTES", [1], ["a"]), tensor("sep", "BYTES", [], "+")], {"output": ("BYTES", [1], ["a"])}),
        (
            raw,
            [tensor("x", "BYTES", [1], ["a"]), tensor("more", "BYTES", [2], ["b", "c"])],
            {"output": ("BYTES", [1], ["abc"])},
        ),
        (choice, [tensor("x", "BYTES", [1], ["b"])], {"output": ("BYTES", [1], ["b"])}),
    ],
)
def test_arguments_are_what_the_annotations_want(
    tmp_path: Path, function: Callable[..., object], inputs: list[dict[str, Any]], expected: object
) -> None:
    with serving(tmp_path, function) as served:
        assert outputs(inferred(served, *inputs)) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"a": np.arange(2), "b": [1.5]}, {"a": ("INT64", [2], [0, 1]), "b": ("FP64", [1], [1.5])}),
        (Pair(0.5, 1), {"low": ("FP64", [1], [0.5]), "high": ("INT64", [1], [1])}),
        (Both("x", [1, 2.5]), {"label": ("BYTES", [1], ["x"]), "scores": ("FP64", [2], [1, 2.5])}),
        (np.float32(0.5), {"output": ("FP32", [1], [0.5])}),
        ([np.arange(2), np.arange(2)], {"output": ("INT64", [2, 2], [0, 1, 0, 1])}),
        (np.array(["2026-01-02"], "M8[D]"), {"output": ("BYTES", [1], ["2026-01-02"])}),
        ([1, None, float("inf")], {"output": ("FP64", [3], [1.0, None, None])}),
        (True, {"output": ("BOOL", [1], [True])}),
        ((n for n in range(3)), {"output": ("INT64", [3], [0, 1, 2])}),
        ([], {"output": ("FP64", [0], [])}),
    ],
)
def test_a_result_becomes_tensors(tmp_path: Path, result: object, expected: object) -> None:
    with serving(tmp_path, lambda: result) as served:
        assert outputs(inferred(served)) == expected


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "result is None"),
        ([{"a": 1}], "result holds values of several kinds, or of one that no datatype has"),
        ({"a": [1, "b"]}, "result['a'] holds values of several kinds"),
        ([[1], [2, 3]], "result holds lists of different lengths"),
        (np.array([1j]), "result[0] is of type complex"),
    ],
)
def test_a_result_that_is_no_tensor_is_500_and_says_where(tmp_path: Path, result: object, why: str) -> None:
    with serving(tmp_path, lambda: result) as served:
        reply = inferred(served)
    assert reply.status_code == 500
    assert reply.json()["error"].startswith(f"predict() returned what a tensor cannot hold: {why}")


@pytest.mark.parametrize(
    ("function", "inputs", "why"),
    [
        (scaled, [], "predict() missing 1 required argument: 'x'"),
        (scaled, [tensor("y", "FP32", [1], [1])], "predict() missing 1 required argument: 'x' and got 1 unexpected"),
        (scaled, [tensor("x", "BYTES", [1], ["a"])], "inputs.x[0] must be a number, not text"),
        (scaled, [tensor("x", "FP64", [1], [1e300])], "inputs.x[0] is 1e+300, which float32 cannot hold"),
        (scaled, [tensor("x", "BF16", [1], [1])], "input 'x' has the datatype BF16"),
        (scaled, [tensor("x", "FP32", [2], [1])], "input 'x' has 1 value, where its shape [2] wants 2"),
        (scaled, [{"name": "x", "datatype": "FP32", "shape": [1]}], "input 'x' is without \"data\""),
        (scaled, [tensor("x", "FP32", [1], [1])] * 2, "input 'x' comes twice"),
        (
            scaled,
            [tensor("x", "FP32", [1], [1]), tensor("by", "FP32", [2], [1, 2])],
            "input 'by' must have one element",
        ),
        (scaled, [{"datatype": "FP32"}], 'inputs[0] must be an object with a "name"'),
        (listed, [tensor("x", "FP32", [1, 2], [1, 2])], "inputs.x[0] must be a number, not a list"),
        (choice, [tensor("x", "BYTES", [1], ["c"])], "inputs.x must be 'a' or 'b', not 'c'"),
        (
            document,
            [tensor("d", "FP32", [1], [1])],
            "predict() cannot be called with tensors: its parameter 'd' is neither",
        ),
        (
            only,
            [tensor("x", "FP32", [1], [1])],
            "predict() cannot be called with tensors: its parameter 'x' is taken by",
        ),
        (raw, [tensor("x", "FP32", [1], [1]), tensor("more", "BYTES", [0], [])], "inputs.x must be bytes as base64"),
    ],
)
def test_inputs_that_do_not_fit_are_400_and_say_why(
    tmp_path: Path, function: Callable[..., object], inputs: list[dict[str, Any]], why: str
) -> None:
    with serving(tmp_path, function) as served:
        reply = inferred(served, *inputs)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(why)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the body is empty"),
        (b"[]", 'the body must be a JSON object with "inputs", not a list'),
        (b"{}", 'the body must have "inputs", a list of objects'),
        (b'{"inputs": {}}', 'the body must have "inputs", a list of objects, not an object'),
        (b'{"inputs": [], "id": 7}', '"id" must be text, not a number'),
        (b'{"inputs": [], "parameters": []}', '"parameters" of the request must be an object, not a list'),
        (
            b'{"inputs": [], "parameters": {"binary_data_output": 1}}',
            '"binary_data_output" of the request must be true',
        ),
        (b'{"inputs": [NaN]}', "the body is not JSON"),
    ],
)
def test_a_body_that_is_not_of_the_protocol_is_400(tmp_path: Path, body: bytes, why: str) -> None:
    with serving(tmp_path, scaled) as served:
        reply = served.request("POST", INFER, body)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(why)


def test_only_the_outputs_that_are_asked_for_are_given_and_unknown_ones_refused(tmp_path: Path) -> None:
    inputs = [tensor("x", "INT32", [1], [2]), tensor("y", "INT32", [1], [3])]
    with serving(tmp_path, two) as served:
        assert list(outputs(inferred(served, *inputs, outputs=[{"name": "output_1"}]))) == ["output_1"]
        refused = inferred(served, *inputs, outputs=[{"name": "sum"}])
    assert refused.status_code == 400
    assert refused.json() == {"error": "there is no output 'sum'; there is 'output_0' and 'output_1'"}


def test_parameters_of_the_request_are_arguments_where_the_function_has_them(tmp_path: Path) -> None:
    with serving(tmp_path, scaled) as served:
        given = inferred(served, tensor("x", "FP32", [1], [1]), parameters={"by": 3, "priority": 1, "other": "ignored"})
        wrong = inferred(served, tensor("x", "FP32", [1], [1]), parameters={"by": "three"})
    assert outputs(given)["output"][2] == [3.0]
    assert (wrong.status_code, wrong.json()["error"]) == (400, "inputs.by must be a number, not text")


def binary(served: Served, head: dict[str, Any], data: bytes, length: int | None = None) -> Reply:
    text = json.dumps(head).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(text) if length is None else length),
    }
    return served.request("POST", INFER, text + data, headers)


def test_binary_data_go_in_and_out_behind_the_json(tmp_path: Path) -> None:
    head = {
        "inputs": [
            {"name": "x", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": 4}},
            {"name": "y", "datatype": "INT16", "shape": [2], "data": [5, 6]},
        ],
        "outputs": [{"name": "output_0", "parameters": {"binary_data": False}}, {"name": "output_1"}],
        "parameters": {"binary_data_output": True},
    }
    with serving(tmp_path, two) as served:
        reply = binary(served, head, struct.pack("<2h", 1, 2))
    assert reply.headers["Content-Type"] == "application/octet-stream"
    length = int(reply.headers["Inference-Header-Content-Length"])
    sums, products = json.loads(reply.data[:length])["outputs"]
    assert sums == {"name": "output_0", "datatype": "INT16", "shape": [2], "data": [6, 8]}
    assert products == {
        "name": "output_1",
        "datatype": "INT16",
        "shape": [2],
        "parameters": {"binary_data_size": 4},
    }
    assert struct.unpack("<2h", reply.data[length:]) == (5, 12)


@pytest.mark.parametrize(
    ("size", "data", "length", "why"),
    [
        (4, b"\0" * 3, None, "input 'x' says that it has 4 bytes of binary data, but only 3 are there"),
        (4, b"\0" * 5, None, "5 bytes of binary data came, but the inputs' binary_data_size are 4 together"),
        (3, b"\0" * 3, None, "input 'x' has 3 bytes, where INT16 in the shape [2] has 4"),
        (-1, b"", None, "input 'x' must have a \"binary_data_size\" that is a whole number"),
        (4, b"\0" * 4, 9999, "Inference-Header-Content-Length is 9999, but the body has"),
    ],
)
def test_binary_data_that_are_not_what_the_json_says_are_400(
    tmp_path: Path, size: int, data: bytes, length: int | None, why: str
) -> None:
    head = {"inputs": [{"name": "x", "datatype": "INT16", "shape": [2], "parameters": {"binary_data_size": size}}]}
    with serving(tmp_path, listed) as served:
        reply = binary(served, head, data, length)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(why)


def test_bytes_that_are_no_text_are_given_as_binary_data_only(tmp_path: Path) -> None:
    with serving(tmp_path, lambda: b"\xff") as served:
        refused = inferred(served)
        given = binary(served, {"inputs": [], "parameters": {"binary_data_output": True}}, b"")
    assert refused.status_code == 400
    assert 'ask for it with "binary_data": true' in refused.json()["error"]
    assert given.data.endswith(struct.pack("<I", 1) + b"\xff")


def test_the_functions_own_failure_is_500_with_its_words(tmp_path: Path) -> None:
    with serving(tmp_path, fails) as served:
        reply = inferred(served, tensor("x", "FP32", [1], [1]))
    assert (reply.status_code, reply.json()) == (500, {"error": "ValueError: no such flower"})


@pytest.mark.parametrize(
    ("headers", "status"), [({"Content-Type": "text/plain"}, 415), ({"Inference-Header-Content-Length": "x"}, 400)]
)
def test_a_head_that_cannot_be_is_refused_before_the_body(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    with serving(tmp_path, scaled) as served:
        reply = served.request("POST", INFER, b"{}", headers)
    assert reply.status_code == status
    assert list(reply.json()) == ["error"]


def test_a_body_that_is_too_large_is_413_in_the_shape_of_the_protocol(tmp_path: Path) -> None:
    with serving(tmp_path, scaled) as served:
        reply = served.request("POST", INFER, b" " * 100_001)
    assert (reply.status_code, list(reply.json())) == (413, ["error"])


def told(served: Served, path: str) -> Any:
    reply = served.request("GET", path)
    assert reply.status_code == 200, reply.data
    return reply.json()


def test_health_and_metadata_are_told(tmp_path: Path) -> None:
    with serving(tmp_path, scaled) as served:
        assert told(served, "/v2/health/live") == {"live": True}
        assert told(served, "/v2/health/ready") == {"ready": True}
        assert told(served, "/v2")["extensions"] == ["binary_tensor_data"]
        for path in ("/v2/models/predict/ready", "/v2/models/predict/versions/3/ready"):
            assert told(served, path) == {"name": "predict", "ready": True}
        for path in ("/v2/models/predict", "/v2/models/predict/versions/3"):
            assert told(served, path) == {
                "name": "predict",
                "versions": ["3"],
                "platform": "python",
                "inputs": [
                    {"name": "x", "datatype": "FP32", "shape": [-1]},
                    {"name": "by", "datatype": "FP64", "shape": [1]},
                ],
                "outputs": [{"name": "output", "datatype": "FP64", "shape": [-1]}],
            }
        assert served.request("GET", "/v2/models/other").status_code == 404
        wrong = served.request("GET", INFER)
        assert (wrong.status_code, wrong.headers["Allow"], list(wrong.json())) == (405, "POST", ["error"])


def test_the_metadata_of_what_takes_no_tensors_say_why(tmp_path: Path) -> None:
    with serving(tmp_path, document) as served:
        reply = served.request("GET", "/v2/models/predict")
    assert reply.status_code == 400
    assert "its parameter 'd' is neither an array" in reply.json()["error"]


@pytest.mark.parametrize(
    ("function", "inputs", "given"),
    [
        (two, [("FP64", [-1]), ("FP64", [-1])], {"output_0": ("FP64", [-1]), "output_1": ("FP64", [-1])}),
        (raw, [("BYTES", [1]), ("BYTES", [-1])], {"output": ("BYTES", [1])}),
        (listed, [("FP64", [-1])], {"output": ("FP64", [1])}),
    ],
)
def test_metadata_are_what_the_annotations_say(
    tmp_path: Path, function: Callable[..., object], inputs: object, given: object
) -> None:
    with serving(tmp_path, function) as served:
        model = told(served, "/v2/models/predict")
    assert [(each["datatype"], each["shape"]) for each in model["inputs"]] == inputs
    assert {each["name"]: (each["datatype"], each["shape"]) for each in model["outputs"]} == given


def test_a_call_with_tensors_and_a_plain_one_share_a_connection(tmp_path: Path) -> None:
    with serving(tmp_path, listed) as served:
        connection = served.connection()
        body = json.dumps({"inputs": [tensor("x", "FP64", [2], [1, 2])]})
        for path, text in ((INFER, body), ("/model", '{"data": {"x": [1, 2]}}')) * 2:
            connection.request("POST", path, text)
            response = connection.getresponse()
            assert response.status == 200
            assert b"3.0" in response.read()
        connection.close()


async def later(x: list[float]) -> Any:
    return np.array(x)


def pieces(x: list[float]) -> Iterator[float]:
    yield from x


@pytest.mark.parametrize("function", [later, pieces])
def test_what_is_awaited_or_comes_in_pieces_is_one_tensor(tmp_path: Path, function: Callable[..., object]) -> None:
    with serving(tmp_path, function) as served:
        given = outputs(inferred(served, tensor("x", "FP32", [2], [1, 2])))
    assert given == {"output": ("FP64", [2], [1, 2])}


def test_a_busy_worker_refuses_in_the_shape_of_the_protocol(tmp_path: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def wait() -> float:
        inside.set()
        assert go_on.wait(20)
        return 1.0

    with serving(tmp_path, wait) as served, ThreadPoolExecutor() as aside:
        first = aside.submit(inferred, served)
        assert inside.wait(20)
        second = inferred(served)
        go_on.set()
        assert outputs(first.result(20)) == {"output": ("FP64", [1], [1.0])}
    assert (second.status_code, second.json()) == (503, {"error": "this worker is busy"})
    assert second.headers["Retry-After"] == "1"


def test_a_call_without_time_left_is_504_in_the_shape_of_the_protocol(tmp_path: Path) -> None:
    with serving(tmp_path, listed) as served:
        body = json.dumps({"inputs": [tensor("x", "FP64", [1], [1])]}).encode()
        reply = served.request("POST", INFER, body, {"X-Modelway-Remaining-Ms": "-1"})
    assert (reply.status_code, list(reply.json())) == (504, ["error"])


def test_packed_bodies_are_unpacked_before_their_binary_data_are_found(tmp_path: Path) -> None:
    head = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}]}
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)), "Content-Encoding": "gzip"}
    with serving(tmp_path, listed) as served:
        reply = served.request("POST", INFER, gzip.compress(text + struct.pack("<2f", 1, 2)), headers)
    assert outputs(reply) == {"output": ("FP64", [1], [3.0])}


def test_without_numpy_arrays_are_nested_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numpy")
    with serving(tmp_path, lambda x: {"rows": len(x), "doubled": [[2 * v for v in row] for row in x]}) as served:
        given = outputs(inferred(served, tensor("x", "FP32", [2, 1], [1, 0.1])))
    assert given == {"rows": ("INT64", [1], [2]), "doubled": ("FP64", [2, 1], [2, 0.20000000298023224])}


class Columns(TakesWhole):
    """As an MLflow model: what its columns are called is not for a signature to say."""

    takes = Form(lambda data: {"columns": data}, "an object")
    gives: Schema = {}  # noqa: RUF012  # as others are written

    def __call__(self, *_: Any, **named: Any) -> object:
        return {name: type(value).__name__ for name, value in named["columns"].items()}


def test_a_function_that_takes_its_data_as_one_gets_lists_by_any_name(tmp_path: Path) -> None:
    with serving(tmp_path, Columns()) as served:
        given = outputs(inferred(served, tensor("sepal length (cm)", "FP64", [2], [1, 2])))
        model = told(served, "/v2/models/predict")
    assert given == {"sepal length (cm)": ("BYTES", [1], ["list"])}
    assert (model["inputs"], model["outputs"]) == ([], [])
