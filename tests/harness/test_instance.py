"""Whole instances: real processes on real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from time import monotonic

import httpx
import pytest

from tests.harness.instances import Running, is_alive, until

PID = "import os\ndef predict():\n    return os.getpid()\n"

# Waits, once called, until the test puts the file `go` into the project; leaves word in `entered` that it waits.
GATE = """
from pathlib import Path
from time import monotonic
from time import sleep
def wait():
    Path("entered").touch()
    while not Path("go").exists():
        sleep(0.01)
"""
GATED_CALL = GATE + "def predict():\n    wait()\n    return 1\n"


def entered(instance: Running) -> bool:
    return (instance.project / "entered").exists()


def test_an_instance_answers_calls(instance: Running) -> None:
    instance.write("def predict(x, y=2):\n    return x + y\n")
    instance.ready()
    response = instance.call(x=8, headers={"X-Modelway-Server": "cdef0123-1-a1b2.0"})
    assert response.status_code == 200
    assert response.json()["result"] == 10
    assert response.json()["release"]["model_version_number"] == 3


def test_globals_stay_in_memory_between_calls(instance: Running) -> None:
    instance.write("seen = []\ndef predict(x):\n    seen.append(x)\n    return seen\n")
    instance.ready()
    assert [instance.call(x=number).json()["result"] for number in (1, 2)] == [[1], [1, 2]]


def test_what_was_opened_while_the_script_was_imported_works_in_the_calls(instance: Running) -> None:
    instance.write(
        "import sqlite3\n"
        "database = sqlite3.connect(':memory:')  # refuses every other thread\n"
        "def predict():\n"
        "    return database.execute('select 40 + 2').fetchone()[0]\n"
    )
    instance.ready()
    assert instance.call().json()["result"] == 42


def test_nobody_can_connect_before_the_script_is_imported(instance: Running) -> None:
    instance.write(GATE + "wait()\ndef predict():\n    return 1\n")
    instance.start()
    until(lambda: entered(instance), "the import to begin")
    assert not instance.is_healthy()
    (instance.project / "go").touch()
    until(instance.is_healthy, "the instance to be healthy")


def test_sockets_are_private_and_stale_ones_are_replaced(instance: Running) -> None:
    instance.write(PID)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(instance.folder / "w0.sock"))
    instance.ready()
    assert stat.S_IMODE(instance.sockets[0].stat().st_mode) == 0o600


def test_every_worker_has_a_socket_and_a_call_of_its_own(instance: Running) -> None:
    instance.write(GATED_CALL)
    instance.ready(workers=2)
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(instance.call, worker=0)
        until(lambda: entered(instance), "the first call to begin")
        (instance.project / "entered").unlink()
        second = callers.submit(instance.call, worker=1)
        until(lambda: entered(instance), "the second call to begin")
        assert instance.is_healthy(0)
        assert instance.call(worker=0).status_code == 503
        (instance.project / "go").touch()
        assert [first.result().status_code, second.result().status_code] == [200, 200]
    assert instance.get("/health", worker=1).json()["worker"] == 1


def test_what_the_function_prints_is_in_the_log_at_once(instance: Running) -> None:
    instance.write(GATE + "def predict():\n    print('half \\ud800 way')\n    wait()\n")
    instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(instance.call)
        until(lambda: "half \\ud800 way\n" in instance.says("stdout"), "the print to be in the log")
        (instance.project / "go").touch()
        assert running.result().status_code == 200


def test_an_exception_goes_to_the_log_with_the_request_id(instance: Running) -> None:
    instance.write("def predict():\n    raise ValueError('no such flower')\n")
    instance.ready()
    response = instance.call()
    assert response.status_code == 500
    assert response.json()["errors"] == ["ValueError: no such flower"]
    said = instance.says()
    assert f"call_failed request_id={response.headers['X-Request-Id']}\nTraceback" in said
    assert f'File "{instance.project}/predict.py", line 2, in predict' in said
    assert "modelway_harness/" not in said


def test_a_call_past_its_deadline_is_a_504_and_its_worker_is_replaced(instance: Running) -> None:
    instance.write(GATE + "import os\ndef predict(gated):\n    if gated:\n        wait()\n    return os.getpid()\n")
    instance.ready(workers=2)
    before = [instance.call(worker=worker, gated=False).json()["result"] for worker in (0, 1)]
    response = instance.call(gated=True, headers={"X-Modelway-Remaining-Ms": "100"})
    assert response.status_code == 504
    assert response.headers["Connection"] == "close"
    assert response.json()["errors"] == ["the call took longer than 20 s, the request timeout"]
    until(lambda: not is_alive(before[0]), "the worker to end")
    until(instance.is_healthy, "its replacement to be healthy")
    after = [instance.call(worker=worker, gated=False).json()["result"] for worker in (0, 1)]
    assert after[0] != before[0]
    assert after[1] == before[1]
    said = instance.says()
    assert f"call_overdue request_id={response.headers['X-Request-Id']}" in said
    assert "in wait\n" in said


def test_a_call_on_another_worker_is_unharmed_when_one_passes_its_deadline(instance: Running) -> None:
    instance.write(GATED_CALL)
    instance.ready(workers=2)
    with ThreadPoolExecutor(1) as callers:
        other = callers.submit(instance.call, worker=1)
        until(lambda: entered(instance), "the other call to begin")
        ended = instance.worker_ids()
        late = instance.call(worker=0, headers={"X-Modelway-Remaining-Ms": "100"})
        until(lambda: not ended <= instance.worker_ids(), "the late worker to end")
        until(lambda: instance.is_healthy(0), "a fresh worker at its socket")
        (instance.project / "go").touch()
        assert (late.status_code, other.result().status_code) == (504, 200)
    assert instance.call(worker=0).status_code == 200
    assert instance.says().count("worker_replaced") == 1
    assert f"ended_with=overdue request_id={late.headers['X-Request-Id']}\n" in instance.says()


def test_closed_streams_break_neither_the_answer_nor_the_end(instance: Running) -> None:
    instance.write(
        GATE + "import os, sys\nfor stream in (sys.stdout, sys.stderr, sys.__stderr__):\n    stream.close()\n"
        "def predict(gated):\n    if gated:\n        wait()\n    raise ValueError(os.getpid())\n"
    )
    instance.ready()
    pid = instance.worker_ids().pop()
    assert instance.call(gated=False).json()["errors"] == [f"ValueError: {pid}"]
    assert instance.call(gated=True, headers={"X-Modelway-Remaining-Ms": "50"}).status_code == 504
    until(lambda: not is_alive(pid), "the worker to end")


@pytest.mark.parametrize("head", ["Transfer-Encoding: chunked", "Content-Length: 50000"])
def test_a_body_that_dribbles_is_refused_when_the_calls_time_is_over_and_the_next_call_is_served(
    instance: Running, head: str
) -> None:
    instance.write("def predict(x):\n    return x\n")
    instance.ready(request_timeout_s=0.5)
    piece = b"1\r\n{\r\n" if head.startswith("Transfer") else b"{"
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(instance.sockets[0]))
        caller.settimeout(0.05)
        caller.sendall(f"POST /model HTTP/1.1\r\nHost: worker\r\n{head}\r\n\r\n".encode())
        answer = _answer_while_sending(caller, piece)
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert b"the body did not arrive within 0.5 s, the request timeout" in answer
    assert instance.call(x=1).json()["result"] == 1


def _answer_while_sending(caller: socket.socket, piece: bytes) -> bytes:
    """What comes back while `piece` is sent every 0.05 s, up to the end of its JSON."""
    answer, until_s = b"", monotonic() + 20
    while not answer.endswith(b"}") and monotonic() < until_s:
        with suppress(TimeoutError):
            answer += caller.recv(65536)
        with suppress(OSError):
            caller.sendall(piece)
    return answer


@pytest.mark.slow
def test_a_call_that_never_lets_another_thread_run_is_ended_all_the_same(instance: Running) -> None:
    instance.write("import re\ndef predict(hang):\n    return bool(hang and re.match('(a+)+$', 'a' * 64 + 'b'))\n")
    instance.ready(request_timeout_s=0.5)
    lost = instance.call(hang=True)
    assert lost.status_code == 502
    why = "the worker let nothing else run past the deadline, and was ended during the call"
    assert lost.json()["errors"] == [why]
    until(instance.is_healthy, "a new worker")
    request_id, said = lost.headers["X-Request-Id"], instance.says()
    assert f"call_overdue request_id={request_id} worker=0 ended_by=supervisor\n" in said
    assert f"worker_replaced worker=0 ended_with=hung request_id={request_id}\n" in said
    assert "[CRITICAL]" not in said
    assert instance.call(hang=False).json()["result"] is False


@pytest.mark.parametrize("end", ["os._exit(0)", "os._exit(3)", "os._exit(4)", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_dies_comes_back_and_the_other_is_left_alone(instance: Running, end: str) -> None:
    instance.write(f"import os\ndef predict(end=False):\n    if end:\n        {end}\n    return os.getpid()\n")
    instance.ready(workers=2)
    before = [instance.holds_socket(worker) for worker in (0, 1)]
    assert instance.call(worker=0, end=True).status_code == 502
    until(instance.is_healthy, "the socket to come back")
    assert instance.holds_socket(0) not in before
    assert instance.holds_socket(1) == before[1]
    assert not instance.exit_file.exists()


@pytest.mark.parametrize("is_kept", [True, False], ids=["on a kept connection", "on one of its own"])
def test_the_log_says_which_call_a_worker_died_in(instance: Running, *, is_kept: bool) -> None:
    instance.write("import os\ndef predict(end=False):\n    if end:\n        os._exit(7)\n    return os.getpid()\n")
    instance.ready()
    named = {"X-Request-Id": "ABCDEFGH12345678"} | ({} if is_kept else {"Connection": "close"})
    with nullcontext() if is_kept else pytest.raises(httpx.TransportError):
        instance.call(end=True, headers=named)
    until(instance.is_healthy, "the replacement")
    assert "worker_replaced worker=0 ended_with=status_7 request_id=ABCDEFGH12345678\n" in instance.says()
    os.kill(instance.holds_socket(), signal.SIGKILL)
    until(lambda: "worker_replaced worker=0 ended_with=signal_9\n" in instance.says(), "one to die in no call")


def test_a_script_that_cannot_be_imported_ends_the_instance(instance: Running) -> None:
    instance.write("import os\n\nopen('weights.bin')\n")
    instance.start(workers=2)
    assert instance.ended_with() == 3
    left = json.loads(instance.exit_file.read_text())
    assert left["kind"] == "load_failed"
    assert left["reason"] == (
        "predict.py could not be imported: FileNotFoundError: "
        "[Errno 2] No such file or directory: 'weights.bin' (predict.py:3)"
    )
    assert left["detail"].splitlines()[1] == f'  File "{instance.project}/predict.py", line 3, in <module>'
    assert left["detail"] in instance.says()
    assert "gunicorn/" not in instance.says()
    assert "[ERROR]" not in instance.says()
    assert [path.name for path in instance.folder.iterdir() if path.name.startswith("exit.json.")] == []


def test_a_function_that_no_call_can_fit_ends_the_instance_and_says_why(instance: Running) -> None:
    instance.write("def predict(a, /, *, c):\n    return a\n")
    instance.start()
    assert instance.ended_with() == 3
    left = json.loads(instance.exit_file.read_text())
    told = "predict() cannot be called: 'a' is by position only, 'c' by name only"
    assert (left["kind"], left["reason"], left["detail"]) == ("load_failed", told, "")
    assert told in instance.says()


def test_the_log_says_what_an_async_call_awaited_at_its_deadline(instance: Running) -> None:
    instance.write("import asyncio\nasync def predict():\n    await asyncio.sleep(30)\n")
    instance.ready(request_timeout_s=0.3)
    assert instance.call().status_code == 504
    until(lambda: "await asyncio.sleep(30)" in instance.says(), "the log to tell")
    said = instance.says()
    stack = said[said.index("call_overdue") :].splitlines()
    assert stack[1] == f'  File "{instance.project}/predict.py", line 3, in predict'


def test_a_script_that_ends_its_process_ends_the_instance(instance: Running) -> None:
    instance.write("import os\nos.kill(os.getpid(), 9)\n")
    instance.start(workers=2)
    assert instance.ended_with() == 3
    assert json.loads(instance.exit_file.read_text()) == {
        "reason": "a worker ended with signal 9 while it imported predict.py",
        "detail": "",
        "kind": "load_failed",
    }
    assert "worker_replaced" not in instance.says()


def test_a_replacement_that_cannot_load_ends_the_instance(instance: Running) -> None:
    instance.write(PID)
    instance.ready()
    pid = instance.holds_socket()
    instance.write("raise RuntimeError('changed under way, and longer')\n")
    os.kill(pid, signal.SIGKILL)
    assert instance.ended_with() == 3
    assert "changed under way" in json.loads(instance.exit_file.read_text())["reason"]


def test_a_replacement_that_is_killed_while_it_loads_is_replaced_again(instance: Running) -> None:
    instance.write(GATE + "import os\nwait()\n" + PID)
    (instance.project / "go").touch()
    instance.ready()
    for name in ("go", "entered"):
        (instance.project / name).unlink()
    os.kill(instance.worker_ids().pop(), signal.SIGKILL)
    until(lambda: entered(instance), "the replacement to import")
    os.kill(instance.worker_ids().pop(), signal.SIGKILL)
    (instance.project / "go").touch()
    until(instance.is_healthy, "the next replacement")


def test_a_socket_that_cannot_be_made_ends_the_instance(instance: Running) -> None:
    instance.write(PID)
    instance.start(sockets=[str(instance.folder / "missing" / "w0.sock")])
    assert instance.ended_with() == 3
    left = json.loads(instance.exit_file.read_text())
    assert left["kind"] == "start_failed"
    assert left["reason"].startswith("the worker could not start: FileNotFoundError")


def test_a_stop_finishes_the_running_call_and_lets_nobody_in(instance: Running) -> None:
    instance.write(GATED_CALL)
    instance.ready()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(instance.call)
        until(lambda: entered(instance), "the call to begin")
        instance.signal(signal.SIGTERM)
        until(lambda: not instance.is_healthy(), "new connections to be refused")
        (instance.project / "go").touch()
        assert running.result().json()["result"] == 1
    assert instance.ended_with() == 0
    assert not instance.exit_file.exists()
    assert not instance.sockets[0].exists()


def test_a_stop_waits_no_longer_than_the_grace(instance: Running) -> None:
    instance.write(GATED_CALL)
    instance.ready(grace_s=1)
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(instance.call)
        until(lambda: entered(instance), "the call to begin")
        workers = instance.worker_ids()
        instance.signal(signal.SIGTERM)
        assert instance.ended_with() == 0
        with pytest.raises(httpx.TransportError):
            running.result()
    assert not any(is_alive(pid) for pid in workers)


def test_a_stop_during_the_import_does_not_wait_for_it(instance: Running) -> None:
    instance.write(GATE + "wait()\ndef predict():\n    return 1\n")
    instance.start(workers=2)
    until(lambda: entered(instance), "the import to begin")
    instance.signal(signal.SIGTERM)
    assert instance.ended_with() == 0


def test_workers_do_not_outlive_a_killed_parent(instance: Running) -> None:
    instance.write(GATED_CALL)
    instance.ready(workers=2)
    workers = instance.worker_ids()
    assert len(workers) == 2
    threading.Thread(target=lambda: swallow(instance), daemon=True).start()
    until(lambda: entered(instance), "a call to begin")
    instance.signal(signal.SIGKILL)
    until(lambda: not any(is_alive(pid) for pid in workers), "the workers to end")


def swallow(instance: Running) -> None:
    with pytest.raises(httpx.TransportError):
        instance.call()


def test_a_process_that_the_function_forks_does_not_hold_the_socket(instance: Running) -> None:
    instance.write(
        GATE + "import os\ndef predict(fork=False):\n    child = os.fork() if fork else 1\n"
        "    if child == 0:\n        wait()\n        os._exit(0)\n    return child\n"
    )
    instance.ready()
    child = instance.call(fork=True).json()["result"]
    until(lambda: entered(instance), "the child to wait")
    every = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    listening = {words[6] for words in every if words[3] == "00010000" and str(instance.folder) in words[-1]}
    held = {os.readlink(f"/proc/{child}/fd/{name}") for name in os.listdir(f"/proc/{child}/fd")}
    assert listening
    assert not any(f"socket:[{inode}]" in held for inode in listening)
    (instance.project / "go").touch()


def test_modules_of_the_project_do_not_replace_those_of_the_harness(instance: Running) -> None:
    for name in ("queue", "flask", "logging", "json", "secrets"):
        instance.write("raise RuntimeError('the project has a module of this name')\n", file=f"{name}.py")
    instance.write("import json\ndef predict():\n    return json.loads('[1]')\n")
    instance.ready()
    assert instance.call().json()["result"] == [1]


def test_its_command_line_stays_also_where_programs_may_name_themselves(
    instance: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = instance.folder / "packages"
    packages.mkdir()
    (packages / "setproctitle.py").write_text(
        "from pathlib import Path\ndef getproctitle(): return ''\n"
        f"def setproctitle(title): Path({str(packages / 'named')!r}).touch()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(packages))
    instance.write(PID)
    instance.ready()
    assert not (packages / "named").exists()


def test_nothing_is_written_to_the_home_directory(instance: Running) -> None:
    instance.write(PID)
    instance.ready()
    assert list((instance.folder / "home").iterdir()) == []


def test_a_wrong_configuration_is_told_and_ends_with_2(instance: Running) -> None:
    instance.start(version_number="three", file=None)
    assert instance.ended_with() == 2
    assert "version_number must be a whole number of at least 1, got 'three'\n" in instance.says()


def test_the_file_of_another_instance_is_refused(instance: Running) -> None:
    instance.start(as_instance="another")
    assert instance.ended_with() == 2
    assert "is for instance 'cdef0123-1-a1b2', not 'another'" in instance.says()
