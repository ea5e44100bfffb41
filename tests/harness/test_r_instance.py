"""Whole instances of the R harness: real processes on real sockets."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.harness.instances import INSTANCE, VERSION, is_alive, until
from tests.harness.r_instances import RunningR

# Waits, once called, until the test puts the file `go` into the project; leaves word in `entered` that it waits.
GATE = 'wait <- function() {\n  file.create("entered")\n  while (!file.exists("go")) Sys.sleep(0.01)\n}\n'
GATED_CALL = GATE + "predict <- function() {\n  wait()\n  1L\n}\n"
PID = "predict <- function() Sys.getpid()\n"
EXAMPLE = json.dumps({"data": {"x": 1}})


def entered(instance: RunningR) -> bool:
    return (instance.project / "entered").exists()


def post(instance: RunningR, body: bytes, **headers: str) -> httpx.Response:
    transport = httpx.HTTPTransport(uds=str(instance.sockets[0]))
    with httpx.Client(transport=transport, base_url="http://worker", timeout=20) as client:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.post("/model", content=body, headers={"Content-Type": "application/json"} | names)


def test_an_instance_answers_calls_with_their_time_and_release(r_instance: RunningR) -> None:
    r_instance.write("predict <- function(x, y = 2) x + y\n")
    r_instance.ready()
    head = {"X-Modelway-Server": f"{INSTANCE}.0", "X-Request-Id": "IREU167VFABC3K4T"}
    response = r_instance.call(x=8, headers=head)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"] == "IREU167VFABC3K4T"
    assert isinstance(body.pop("model_time_in_ms"), int)
    assert isinstance(body.pop("timing"), float)
    release = {"harness_version": "0.1.0", "model_version": VERSION, "model_version_number": 3}
    assert body == {"request_id": "IREU167VFABC3K4T", "release": release, "result": 10}
    assert stat.S_IMODE(r_instance.sockets[0].stat().st_mode) == 0o600
    assert list((r_instance.folder / "home").iterdir()) == []


def test_what_comes_over_http_and_is_no_call_is_told_in_one_shape(r_instance: RunningR) -> None:
    r_instance.write("predict <- function(x) x\n")
    r_instance.ready(max_body_bytes=1000)
    client = httpx.Client(transport=httpx.HTTPTransport(uds=str(r_instance.sockets[0])), base_url="http://worker")
    with client:
        nothing, get = client.get("/nothing"), client.get("/model")
        stranger = client.get("/health", headers={"X-Modelway-Server": "i-2.0"})
    answers = {
        404: (nothing, "there is nothing at /nothing; a worker answers POST /model and GET /health"),
        405: (get, "GET is not answered at /model"),
        421: (stranger, f"this is {INSTANCE}.0, not i-2.0"),
        413: (post(r_instance, b"x" * 1001), "the body has 1001 bytes; at most 1000 are taken"),
        415: (
            post(r_instance, b"a", Content_Type="text/csv"),
            'the body must be JSON: send "Content-Type: application/json", not "text/csv"',
        ),
    }
    for status, (response, reason) in answers.items():
        assert response.status_code == status
        assert response.json()["errors"] == [reason]
        assert response.json()["request_id"] == response.headers["X-Request-Id"]
        assert response.json()["release"]["model_version"] == VERSION
    assert get.headers["Allow"] == "POST"


def test_bodies_come_in_pieces_or_packed_and_stay_within_bounds(r_instance: RunningR) -> None:
    r_instance.write("predict <- function(x) nchar(x)\n")
    r_instance.ready(max_body_bytes=200_000)
    text = json.dumps({"data": {"x": "a" * 150_000}}).encode()
    bomb = gzip.compress(b" " * 200_001)
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(r_instance.sockets[0])), base_url="http://worker", timeout=20
    ) as client:
        head = {"Content-Type": "application/json"}
        pieces = client.post("/model", content=iter([text[:70_000], text[70_000:]]), headers=head)
        many = client.post("/model", content=iter([b" " * 100_000] * 3), headers=head)
    assert pieces.json()["result"] == 150_000
    assert (many.status_code, many.json()["errors"]) == (
        413,
        ["the body has more than the 200000 bytes that are taken"],
    )
    assert post(r_instance, gzip.compress(text), Content_Encoding="gzip").json()["result"] == 150_000
    assert post(r_instance, bomb, Content_Encoding="gzip").status_code == 413
    assert post(r_instance, b"{}", Content_Encoding="gzip").status_code == 400
    assert post(r_instance, bomb[:100], Content_Encoding="gzip").status_code == 400
    assert post(r_instance, b"{}", Content_Encoding="br").status_code == 415


def test_globals_stay_in_memory_and_the_scripts_folder_is_the_working_one(r_instance: RunningR) -> None:
    r_instance.write(
        'seen <- list()\npredict <- function(x) {\n  seen <<- c(seen, x)\n  list(seen, file.exists("predict.R"))\n}\n'
    )
    r_instance.ready()
    assert [r_instance.call(x=number).json()["result"] for number in (1, 2)] == [[[1], True], [[1, 2], True]]


def test_a_script_that_clears_its_workspace_harms_nothing(r_instance: RunningR) -> None:
    r_instance.write("rm(list = ls(all.names = TRUE))\nanswer <- serve <- work <- NULL\npredict <- function() 1L\n")
    r_instance.ready()
    assert r_instance.call().json()["result"] == 1


def test_health_is_answered_while_a_call_runs_and_a_second_one_refused_or_held(r_instance: RunningR) -> None:
    r_instance.write(GATED_CALL)
    r_instance.ready()
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(r_instance.call)
        until(lambda: entered(r_instance), "the first call to begin")
        assert r_instance.is_healthy()
        second = r_instance.call()
        assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
        assert second.json()["errors"] == ["this worker is busy"]
        assert r_instance.call(headers={"X-Modelway-Hold-Ms": "20"}).status_code == 503
        held = callers.submit(r_instance.call, headers={"X-Modelway-Hold-Ms": "20000"})
        (r_instance.project / "go").touch()
        assert [first.result().status_code, held.result().status_code] == [200, 200]


def test_health_waits_for_no_function_however_it_computes(r_instance: RunningR) -> None:
    r_instance.write('predict <- function() {\n  file.create("entered")\n  repeat sum(runif(1e5))\n}\n')
    r_instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(r_instance.call, headers={"X-Modelway-Remaining-Ms": "2000"})
        until(lambda: entered(r_instance), "the call to begin")
        answers = 0
        while not running.done() and answers < 20:
            assert r_instance.is_healthy()
            answers += 1
        assert running.result().status_code == 504
    assert answers == 20


def test_an_error_goes_to_the_log_with_the_calls_that_led_to_it(r_instance: RunningR) -> None:
    r_instance.write(
        'inner <- function(x) stop("no such flower")\npredict <- function(x) {\n  print("seen")\n  inner(x)\n}\n'
    )
    r_instance.ready()
    response = r_instance.call(x="secret")
    assert response.status_code == 500
    assert response.json()["errors"] == ["Error: no such flower"]
    until(lambda: "in predict" in r_instance.says(), "the log")
    trace = "Error: no such flower\n  in inner(x) (predict.R:4)\n  in predict(x = x)\n"
    assert f"call_failed request_id={response.headers['X-Request-Id']}\n{trace}" in r_instance.says()
    assert "secret" not in r_instance.says()
    assert r_instance.says("stdout") == '[1] "seen"\n'


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


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({"X-Modelway-Remaining-Ms": "0"}, 504),
        ({"X-Modelway-Deadline-Ms": "1000"}, 504),
        ({"X-Modelway-Remaining-Ms": "soon"}, 200),
    ],
)
def test_a_call_without_time_left_is_not_started(r_instance: RunningR, head: dict[str, str], status: int) -> None:
    r_instance.write('predict <- function() invisible(file.create("entered"))\n')
    r_instance.ready()
    assert r_instance.call(headers=head).status_code == status
    assert entered(r_instance) == (status == 200)


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


def test_large_bodies_and_results_pass(r_instance: RunningR) -> None:
    r_instance.write("predict <- function(x) x\n")
    r_instance.ready()
    text = "ä" * 3_000_000
    assert r_instance.call(x=text).json()["result"] == text


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
