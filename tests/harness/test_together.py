"""Many calls at once, each with a payload of its own: nobody is given another's answer."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.instances import WITHIN_S, Running, until

# Gives back what came, in many forms, and waits now and then for longer than the relief has patience.
ECHO = """
import time
def predict(who, number, padding="", pause=0.0):
    held = {"who": who, "number": number, "padding": padding}
    if pause:
        time.sleep(pause)
    return held
"""
CALLS = st.lists(
    st.tuples(st.integers(0, 200_000), st.sampled_from([0.0, 0.0, 0.0, 0.0005, 0.006])), min_size=1, max_size=12
)


def request(data: dict[str, object]) -> bytes:
    body = json.dumps({"data": data}).encode()
    identity = f"{data['who']:08}{data['number']:08}"
    head = f"POST /model HTTP/1.1\r\nHost: w\r\nX-Request-Id: {identity}\r\nX-Modelway-Hold-Ms: 15000\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Caller:
    """Sends its calls on one kept connection without waiting for answers, and reads the answers in order."""

    def __init__(self, path: Path, who: int, seed: int, calls: list[tuple[int, float]]) -> None:
        self.path = path
        self.chance = random.Random(seed)  # noqa: S311  # repeatable
        self.calls: list[dict[str, object]] = [
            {"who": who, "number": number, "padding": chr(97 + who % 26) * size, "pause": pause}
            for number, (size, pause) in enumerate(calls)
        ]

    def run(self) -> None:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(WITHIN_S)
            stream.connect(str(self.path))
            sender = threading.Thread(target=self._send, args=(stream,))
            sender.start()
            with stream.makefile("rb") as answers:
                for call in self.calls:
                    assert answered(answers) == (f"{call['who']:08}{call['number']:08}", call["padding"])
            sender.join(WITHIN_S)

    def _send(self, stream: socket.socket) -> None:
        left = b"".join(request(call) for call in self.calls)
        while left:
            size = self.chance.choice([1, 100, 1000, 65_536, 1 << 20])
            stream.sendall(left[:size])
            left = left[size:]


def answered(answers) -> tuple[str, object]:  # type: ignore[no-untyped-def]  # a file
    """The id in the head and the padding in the body of the next answer, which belong together."""
    head = b"".join(iter(answers.readline, b"\r\n"))
    assert head.startswith(b"HTTP/1.1 200 ")
    length = re.search(rb"Content-Length: (\d+)", head)
    identity = re.search(rb"X-Request-Id: (\w+)", head)
    assert length is not None
    assert identity is not None
    body = json.loads(answers.read(int(length[1])))
    assert body["request_id"] == identity[1].decode()
    result = body["result"]
    assert f"{result['who']:08}{result['number']:08}" == body["request_id"]
    return body["request_id"], result["padding"]


def test_callers_on_kept_connections_never_see_each_others_data(instance: Running) -> None:
    instance.write(ECHO)
    instance.ready(workers=2)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(CALLS, min_size=2, max_size=10), st.integers(0, 2**32))
    def check(many: list[list[tuple[int, float]]], seed: int) -> None:
        callers = [Caller(instance.sockets[who % 2], who, seed + who, calls) for who, calls in enumerate(many)]
        with ThreadPoolExecutor(len(callers)) as threads:
            for done in [threads.submit(caller.run) for caller in callers]:
                done.result()

    check()
    assert "worker_replaced" not in instance.says()


def test_as_many_calls_run_at_once_as_there_are_workers(instance: Running) -> None:
    instance.write(
        "from pathlib import Path\nfrom time import sleep\nimport os\ndef predict():\n"
        "    Path(f'in-{os.getpid()}').touch()\n    while not Path('go').exists():\n        sleep(0.01)\n"
        "    return os.getpid()\n"
    )
    instance.ready(workers=4)
    with ThreadPoolExecutor(4) as callers:
        running = [callers.submit(instance.asked, worker=worker) for worker in range(4)]
        until(lambda: len([*instance.project.glob("in-*")]) == 4, "all four to be in the function at once")
        assert all(instance.is_healthy(worker) for worker in range(4))
        (instance.project / "go").touch()
        answers = [each.result() for each in running]
    assert all(answer is not None and answer[0] == 200 for answer in answers)
    assert len({str(answer) for answer in answers}) == 4
