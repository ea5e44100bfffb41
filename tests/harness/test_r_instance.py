"""How instances of the R harness begin, lose their worker and end: real processes on real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness.instances import INSTANCE, is_alive, until
from tests.harness.r_instances import RunningR

# Waits, once called, until the test puts the file `go` into the project; leaves word in `entered` that it waits.
GATE = 'wait <- function() {\n  file.create("entered")\n  while (!file.exists("go")) Sys.sleep(0.01)\n}\n'
GATED_CALL = GATE + "predict <- function() {\n  wait()\n  1L\n}\n"
PID = "predict <- function() Sys.getpid()\n"
EXAMPLE = json.dumps({"data": {"x": 1}})


def entered(instance: RunningR) -> bool:
    return (instance.project / "entered").exists()


def test_a_script_that_clears_its_workspace_harms_nothing(r_instance: RunningR) -> None:
    r_instance.write("rm(list = ls(all.names = TRUE))\nanswer <- serve <- work <- NULL\npredict <- function() 1L\n")
    r_instance.ready()
    assert r_instance.call().json()["result"] == 1


def test_a_call_past_its_deadline_is_a_504_and_its_worker_is_replaced(r_instance: RunningR) -> None:
    r_instance.write(GATE + "predict <- function(gated) {\n  if (gated) wait()\n  Sys.getpid()\n}\n")
    r_instance.ready()
    before = r_instance.call(gated=False).json()["result"]
    response = r_instance.call(gated=True, headers={"X-Modelway-Remaining-Ms": "1000"})
    assert response.status_code == 504
    assert response.json()["errors"] == ["the call took longer than 20 s, the request timeout"]
    until(lambda: not is_alive(before), "the worker to end")
    until(r_instance.is_healthy, "its replacement to be healthy")
    assert r_instance.call(gated=False).json()["result"] != before
    said = r_instance.says()
    assert f"call_overdue request_id={response.headers['X-Request-Id']}" in said
    assert "in wait() (predict.R:" in said


def test_a_call_that_cannot_be_interrupted_is_ended_all_the_same(r_instance: RunningR) -> None:
    r_instance.write("predict <- function() repeat tryCatch(Sys.sleep(60), interrupt = function(e) NULL)\n")
    r_instance.ready()
    worker = r_instance.front_children()
    assert r_instance.call(headers={"X-Modelway-Remaining-Ms": "1000"}).status_code == 504
    until(lambda: not worker & r_instance.front_children(), "the worker to be killed")
    until(r_instance.is_healthy, "the next worker")


def test_who_is_connected_stays_so_while_a_worker_is_replaced_and_nobody_new_finds_the_socket(
    r_instance: RunningR,
) -> None:
    r_instance.write(
        'while (file.exists("shut")) Sys.sleep(0.01)\npredict <- function(end = FALSE) if (end) quit("no") else 1\n'
    )
    r_instance.ready()
    with r_instance.client() as client:
        client.get("/health")
        (r_instance.project / "shut").touch()
        assert r_instance.call(end=True).status_code == 500
        until(lambda: not r_instance.sockets[0].exists(), "the socket to be hidden")
        assert client.get("/health").json() == {"status": "starting"}
        (connection,) = client._transport._pool.connections  # type: ignore[attr-defined]
        (r_instance.project / "shut").unlink()
        until(r_instance.is_healthy, "the next worker")
        assert client.post("/model", json={"data": {}}).json()["result"] == 1
        assert client._transport._pool.connections == [connection]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("end", "how"),
    [('quit("no", 7)', "status 7"), ("tools::pskill(Sys.getpid(), 9)", "signal 9")],
)
def test_a_worker_that_dies_in_a_call_is_told_of_and_replaced(r_instance: RunningR, end: str, how: str) -> None:
    r_instance.write(f"predict <- function(end = FALSE) {{\n  if (end) {end}\n  Sys.getpid()\n}}\n")
    r_instance.ready()
    before = r_instance.call().json()["result"]
    response = r_instance.call(end=True)
    assert response.status_code == 500
    assert response.json()["errors"] == [f"the function's process ended with {how} during the call"]
    request_id = response.headers["X-Request-Id"]
    assert f"call_failed request_id={request_id}\nthe worker ended with {how}\n" in r_instance.says()
    until(r_instance.is_healthy, "the next worker")
    assert r_instance.call().json()["result"] != before
    assert not r_instance.exit_file.exists()


@pytest.mark.parametrize(
    ("script", "reason", "detail"),
    [
        (
            'library(stats)\n\nf <- function() stop("weights.bin\\nis missing")\nf()\n',
            "predict.R could not be sourced: Error: weights.bin is missing (predict.R:4)",
            "Error: weights.bin\nis missing\n  in f()\n",
        ),
        (
            "x <- 1\npredict <- function( {\n",
            "predict.R could not be sourced: syntax error at predict.R:2:22: unexpected '{'",
            None,
        ),
        ("predit <- function(x) x\n", "there is no function 'predict' in predict.R; it defines 'predit'", ""),
        ("predict <- 3\n", "'predict' in predict.R is of type numeric, not a function", ""),
        ("tools::pskill(Sys.getpid(), 9)\n", "a worker ended with signal 9 while it sourced predict.R", ""),
        ('init <- function() stop("no")\npredict <- function() 1\n', "predict.R: init() failed: Error: no", None),
    ],
)
def test_a_script_that_cannot_be_loaded_ends_the_instance_with_the_reason(
    r_instance: RunningR, script: str, reason: str, detail: str | None
) -> None:
    r_instance.write(script)
    r_instance.start()
    assert r_instance.ended_with() == 3
    left = json.loads(r_instance.exit_file.read_text())
    assert (left["kind"], left["reason"]) == ("load_failed", reason)
    assert detail is None or left["detail"] == detail
    assert left["detail"] in r_instance.says()
    assert not r_instance.sockets[0].exists()
    assert list((r_instance.folder / "home").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('stop("no such flower")', "Error: no such flower"),
        ("Sys.sleep(600)", "it took longer than 0.5 s, the request timeout"),
        ('quit("no", 0)', "the worker ended with status 0 while it answered"),
    ],
)
def test_an_instance_whose_example_fails_ends_and_says_why(r_instance: RunningR, body: str, reason: str) -> None:
    r_instance.write(f"predict <- function(x) {body}\n")
    r_instance.start(example_input=EXAMPLE, request_timeout_s=0.5)
    assert r_instance.ended_with() == 3
    assert json.loads(r_instance.exit_file.read_text())["reason"] == f"its example input failed: {reason}"


def test_the_example_is_answered_before_anybody_can_connect(r_instance: RunningR) -> None:
    r_instance.write(GATE + "calls <- 0L\npredict <- function(x) {\n  wait()\n  calls <<- calls + 1L\n}\n")
    r_instance.start(example_input=EXAMPLE)
    until(lambda: entered(r_instance), "the example to be called")
    assert not r_instance.is_healthy()
    (r_instance.project / "go").touch()
    until(r_instance.is_healthy, "the instance to be healthy")
    assert r_instance.call(x=1).json()["result"] == 2


def test_a_stop_finishes_the_running_call_and_lets_the_script_shut_down(r_instance: RunningR) -> None:
    r_instance.write(GATED_CALL + 'init <- function() cat("begun\\n")\nshutdown <- function() cat("ended\\n")\n')
    r_instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(r_instance.call)
        until(lambda: entered(r_instance), "the call to begin")
        r_instance.signal(signal.SIGTERM)
        until(lambda: not r_instance.is_healthy(), "new connections to be refused")
        (r_instance.project / "go").touch()
        assert running.result().json()["result"] == 1
    assert r_instance.ended_with() == 0
    assert r_instance.says("stdout") == "begun\nended\n"
    assert not r_instance.exit_file.exists()
    assert not r_instance.sockets[0].exists()
    assert list((r_instance.folder / "home").iterdir()) == []


def test_a_stop_waits_no_longer_than_the_grace(r_instance: RunningR) -> None:
    r_instance.write(GATED_CALL)
    r_instance.ready(grace_s=0.5)
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(r_instance.call)
        until(lambda: entered(r_instance), "the call to begin")
        workers = r_instance.worker_ids()
        r_instance.signal(signal.SIGTERM)
        assert r_instance.ended_with() == 0
        with pytest.raises(httpx.TransportError):
            running.result()
    assert not any(is_alive(pid) for pid in workers)


def test_a_stop_while_the_script_loads_does_not_wait_for_it(r_instance: RunningR) -> None:
    r_instance.write(GATE + "wait()\npredict <- function() 1L\n")
    r_instance.start()
    until(lambda: entered(r_instance), "the script to begin")
    r_instance.signal(signal.SIGTERM)
    assert r_instance.ended_with() == 0


def test_a_worker_does_not_outlive_a_killed_parent(r_instance: RunningR) -> None:
    r_instance.write(PID)
    r_instance.ready()
    every = r_instance.worker_ids() | r_instance.front_children()
    assert len(every) == 2
    r_instance.signal(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in every), "the front and the worker to end")


def test_a_replacement_that_cannot_load_ends_the_instance(r_instance: RunningR) -> None:
    r_instance.write(PID)
    r_instance.ready()
    r_instance.write('stop("changed under way")\n')
    os.kill(r_instance.call().json()["result"], signal.SIGKILL)
    assert r_instance.ended_with() == 3
    assert "changed under way" in json.loads(r_instance.exit_file.read_text())["reason"]


def test_a_socket_that_cannot_be_made_ends_the_instance(r_instance: RunningR) -> None:
    r_instance.write(PID)
    r_instance.start(sockets=[str(r_instance.folder / "missing" / "w0.sock")])
    assert r_instance.ended_with() == 3
    left = json.loads(r_instance.exit_file.read_text())
    assert left["kind"] == "start_failed"
    assert left["reason"].startswith("the worker could not start: ")


def test_a_stale_socket_is_replaced(r_instance: RunningR) -> None:
    r_instance.write(PID)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(r_instance.folder / "w0.sock"))
    r_instance.ready()
    assert r_instance.call().status_code == 200


def test_a_wrong_configuration_is_told_and_ends_with_2(r_instance: RunningR) -> None:
    r_instance.start(version_number="three", file=None, workers=2)
    assert r_instance.ended_with() == 2
    said = r_instance.says()
    assert "version_number must be a whole number of at least 1, got 'three'\n" in said
    assert "sockets must be a list of one absolute path" in said


def test_the_file_of_another_instance_is_refused(r_instance: RunningR) -> None:
    r_instance.start(as_instance="another")
    assert r_instance.ended_with() == 2
    assert f"is for instance '{INSTANCE}', not 'another'" in r_instance.says()


def test_a_loop_that_waits_uses_hardly_any_processor(r_instance: RunningR) -> None:
    r_instance.write(GATED_CALL)
    r_instance.ready()
    front = next(iter(r_instance.worker_ids()))
    used = cpu_ticks(front)
    started = time.monotonic()
    until(lambda: time.monotonic() - started > 1, "a second")
    assert (cpu_ticks(front) - used) / os.sysconf("SC_CLK_TCK") < 0.3


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
