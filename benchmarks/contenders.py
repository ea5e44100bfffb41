"""This file is who takes part in the comparison, and how a call looks to each: the same three functions, one worker."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import arenas
from benchmarks.arenas import Arena, Service
from benchmarks.exchange import request_bytes
from benchmarks.router_alone import TOKEN
from benchmarks.tasks import TASKS, Task, encoded

_AS_THE_ROUTER_SAYS = {"X-Modelway-Remaining-Ms": "60000", "X-Modelway-Hold-Ms": "100"}


@dataclass(frozen=True)
class Shape:
    """A call on the wire: the request for a task, and where in the answer's JSON the result is."""

    request: Callable[[Task], bytes]
    result: Callable[[Any], object]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """`how` it was set up is told beside its figures. `lock` names its environment, and the package."""

    name: str
    lock: str
    how: str
    shape: Shape
    start: Callable[[Arena], Awaitable[Service]]

    def result(self, body: bytes) -> object:
        """What the function gave. Raises ValueError when it is not to be found in `body`."""
        try:
            return self.shape.result(json.loads(body))
        except (LookupError, TypeError) as error:
            raise ValueError(f"there is no result in {body[:200]!r}") from error


def _plain(task: Task) -> bytes:
    return request_bytes("POST", f"/{task.function}", {}, encoded(task.arguments))


def _modelway(task: Task) -> bytes:
    return request_bytes("POST", "/model", _AS_THE_ROUTER_SAYS, encoded({"data": task.arguments}))


def _routed(task: Task) -> bytes:
    path = f"/models/{arenas.model_of(TASKS.index(task))}/latest/model"
    return request_bytes("POST", path, {"Authorization": f"Bearer {TOKEN}"}, encoded({"data": task.arguments}))


def _open_inference(task: Task) -> bytes:
    inputs = []
    for name, value in task.arguments.items():
        data = list(value) if isinstance(value, list) else [value]
        inputs.append({"name": name, "shape": [len(data)], "datatype": "FP64", "data": data})
    return request_bytes("POST", f"/v2/models/{task.function}/infer", {}, encoded({"inputs": inputs}))


def _mlflow(task: Task) -> bytes:
    return request_bytes("POST", "/invocations", {}, encoded({"inputs": task.arguments}))


_BARE = Shape(_plain, lambda answer: answer)

DIRECT, DIRECT_TCP, ROUTED = "Modelway, direct", "Modelway, direct, TCP", "Modelway, router and token"
MOSEC, FASTAPI, FASTAPI_THREADS = "mosec", "FastAPI, async def", "FastAPI, def"

CONTENDERS = (
    Contender(
        name=DIRECT,
        lock="modelway",
        how="one worker's Unix socket, where the router finds it",
        shape=Shape(_modelway, lambda answer: answer["result"]),
        start=arenas.instances,
    ),
    Contender(
        name=DIRECT_TCP,
        lock="modelway",
        how="the same worker, made to listen on TCP, which it never does in a platform",
        shape=Shape(_modelway, lambda answer: answer["result"]),
        start=arenas.instances_on_tcp,
    ),
    Contender(
        name=ROUTED,
        lock="modelway",
        how="HAProxy as the router configures it: token checked, connections to the instance kept",
        shape=Shape(_routed, lambda answer: answer["result"]),
        start=arenas.instances_behind_the_router,
    ),
    Contender(
        name=MOSEC,
        lock="mosec",
        how="`num=1` worker process a route, no batches, log level warning",
        shape=_BARE,
        start=arenas.mosec,
    ),
    Contender(
        name="mosec, orjson",
        lock="mosec",
        how="the same, with orjson in `serialize` and `deserialize`",
        shape=_BARE,
        start=arenas.mosec_orjson,
    ),
    Contender(
        name=FASTAPI,
        lock="fastapi",
        how="uvicorn with uvloop and httptools, one process, typed bodies, no access log; functions run in the event "
        "loop, which answers nobody meanwhile",
        shape=_BARE,
        start=arenas.fastapi,
    ),
    Contender(
        name=FASTAPI_THREADS,
        lock="fastapi",
        how="the same with `def`, as its documentation has it for what does not await: functions run in threads, so "
        "that health is answered meanwhile",
        shape=_BARE,
        start=arenas.fastapi_threads,
    ),
    Contender(
        name="LitServe",
        lock="litserve",
        how="`workers_per_device=1`, `num_api_servers=1`, `fast_queue` (ZeroMQ), no batches, no access log",
        shape=Shape(_plain, lambda answer: answer["output"]),
        start=arenas.litserve,
    ),
    Contender(
        name="MLServer",
        lock="mlserver",
        how="`parallel_workers` 0 (called in the server's process), no debug, no metrics; Open Inference tensors",
        shape=Shape(_open_inference, lambda answer: answer["outputs"][0]["data"]),
        start=arenas.mlserver,
    ),
    Contender(
        name="BentoML",
        lock="bentoml",
        how="`workers=1`, `async def`, no access log, no metrics, no monitoring",
        shape=_BARE,
        start=arenas.bentoml,
    ),
    Contender(
        name="MLflow",
        lock="mlflow-skinny",
        how="`mlflow models serve --env-manager local -w 1`, uvloop, httptools, no access log; one server a function",
        shape=Shape(_mlflow, lambda answer: answer["predictions"]),
        start=arenas.mlflow,
    ),
)
