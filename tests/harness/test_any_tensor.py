"""Any body of the Open Inference Protocol: an answer, or a refusal in words; never a mistake of ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelway_harness.calls import Answered, Calls, Unfit
from modelway_harness.endpoint import Refused
from modelway_harness.inference.dialect import Inference
from modelway_harness.inference.tensors import DATATYPES
from modelway_harness.wire import Head
from numpy.typing import NDArray

from tests.harness.served import INSTANCE
from tests.harness.test_tensors import documents


@st.composite
def one(draw: st.DrawFn, strategy: st.SearchStrategy[Any]) -> Any:
    """As one among others: alternatives inside of alternatives would each have as much weight as these."""
    return draw(strategy)


VALUES = one(st.none() | st.booleans() | st.integers(-300, 300) | st.floats() | st.text(max_size=3))
ANYTHING = one(st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3), max_leaves=6))
INPUT = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "by", "y", 1]),
        "datatype": st.sampled_from([*DATATYPES, "BF16", None]),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | VALUES,
        "data": ANYTHING,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-1, 20) | VALUES}) | VALUES,
    },
)
FITTING = st.tuples(st.sampled_from(["x", "x", "by"]), documents()).map(
    lambda told: {"name": told[0], "datatype": told[1][0], "shape": list(told[1][1]), "data": told[1][2]}
)
INPUTS = st.lists(FITTING, min_size=1, max_size=2, unique_by=lambda each: str(each["name"]))
REQUEST = st.fixed_dictionaries(
    {"inputs": INPUTS | st.lists(FITTING | INPUT, max_size=3) | VALUES},
    optional={
        "id": st.text(max_size=3),
        "outputs": st.sampled_from(["output", "x", "output_0"]).map(lambda name: [{"name": name}]),
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_output": st.booleans(), "by": VALUES}),
    },
)


def same(x: NDArray[numpy.float32], by: float = 2.0) -> Any:
    return x


def whatever(**given: Any) -> Any:
    return given


def texts(x: list[str], by: bytes = b"") -> Any:
    return len(x), by


def numbers(x: list[list[int]] | float, by: bool = True) -> Any:
    return x


@pytest.mark.parametrize("function", [same, whatever, texts, numbers])
@settings(deadline=None)
@given(
    body=REQUEST | REQUEST | ANYTHING, data=st.just(b"") | st.binary(max_size=9), cut=st.just(0) | st.integers(-2, 3)
)
def test_any_body_is_answered_or_refused_in_words(
    function: Callable[..., object], body: Any, data: bytes, cut: int
) -> None:
    text = json.dumps(body).encode()
    outcome = came_of(function, text + data, json_length=max(0, len(text) + cut))
    assert isinstance(outcome, Answered | Unfit) or (isinstance(outcome, Refused) and outcome.status == 400), outcome


def came_of(function: Callable[..., object], body: bytes, *, json_length: int) -> object:
    """Decided, bound, called and encoded as a worker does it."""
    dialect, calls, came = Inference(INSTANCE, function), Calls("predict"), list[object]()
    calls.load(lambda: function).result(20)
    headers = {"inference-header-content-length": str(json_length)}
    head = Head("POST", "/v2/models/predict/infer", headers, len(body), is_kept=True)

    def work() -> None:
        try:
            asked = dialect.asked(head, body, calls.binding)
        except Refused as refused:
            came.append(refused)
        else:
            came.append(calls.call(asked.call, asked.encode))

    calls.give_thread(work).result(20)
    calls.close()
    return came[0]
