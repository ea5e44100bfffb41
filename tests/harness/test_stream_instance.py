"""Streams of a whole instance: what becomes of them when workers end, fork, or are late."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.harness.instances import Running, until

SCRIPT = """
import os
import time
from pathlib import Path

time.sleep(0.05)

def pid():
    return os.getpid()

def predict(go_on="", forks=False):
    parent = os.getpid()
    yield parent
    if forks:
        os.fork()
        yield os.getpid()
    while go_on and not Path(go_on).exists():
        time.sleep(0.01)
    yield "last"
"""


@contextmanager
def streamed(instance: Running, **data: object) -> Iterator[tuple[httpx.Response, Iterator[Any]]]:
    transport = httpx.HTTPTransport(uds=str(instance.sockets[0]))
    with (
        httpx.Client(transport=transport, base_url="http://worker", timeout=20.0) as client,
        client.stream("POST", "/model", json={"data": data}, headers={"Accept": "application/x-ndjson"}) as response,
    ):
        yield response, map(json.loads, response.iter_lines())


def test_an_instance_that_is_told_to_end_sends_its_stream_to_the_end_first(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    go_on = instance.folder / "go_on"
    with streamed(instance, go_on=str(go_on)) as (response, pieces):
        next(pieces)
        instance.signal(signal.SIGTERM)
        until(lambda: not instance.is_healthy(), "its door is closed")
        go_on.touch()
        assert next(pieces) == {"result": "last"}
        assert next(pieces)["request_id"] == response.headers["X-Request-Id"]
    assert instance.ended_with() == 0


def test_a_function_that_forks_between_two_pieces_sends_one_stream(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready()
    workers = instance.worker_ids()
    with streamed(instance, forks=True) as (_, pieces):
        worker, again, last, _end = pieces
    assert worker == again
    assert last == {"result": "last"}
    until(lambda: instance.worker_ids() == workers, "the forked process has ended")
    assert instance.call().json()["result"] == [worker["result"], "last"]


def test_a_stream_that_stays_silent_past_the_deadline_costs_its_worker_alone(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(request_timeout_s=0.5)
    go_on = instance.folder / "go_on"
    with streamed(instance, go_on=str(go_on)) as (_, pieces):
        worker, last = pieces
    assert last["errors"] == ["the call took longer than 0.5 s, the request timeout"]
    until(lambda: worker["result"] not in instance.worker_ids(), "the worker has ended")
    go_on.touch()
    until(instance.is_healthy, "another has taken over")
    assert instance.call().json()["result"][0] != worker["result"]
    said = instance.says()
    assert re.search(rf"stream_overdue request_id={last['request_id']} after_s=\d+\.\d{{3}} worker=0\n", said)
    assert f"call_overdue request_id={last['request_id']}" in said


def test_the_time_of_the_import_is_told(instance: Running) -> None:
    instance.write(SCRIPT)
    instance.ready(function="pid")
    name, _, took_ms = instance.call().headers["Server-Timing"].split(",")[0].partition(";dur=")
    assert name == "import"
    assert float(took_ms) >= 50
