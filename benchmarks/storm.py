"""This file is a load that costs its maker little: for servers that answer more than `load` can ask for.

    python -m benchmarks.storm SOCKET CONNECTIONS SECONDS < call > outcome.json

Every connection sends `call` again as soon as it was answered. One more connection asks for health every 10 ms. Bounded
in number and in time.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from array import array
from pathlib import Path
from time import perf_counter

import msgspec

HEALTH = b"GET /health HTTP/1.1\r\nHost: worker\r\n\r\n"
HEALTH_EVERY_S = 0.01
SILENCE_S = 10.0
MOST_CALLS = 2_000_000
_REPOSITORY = Path(__file__).parents[1]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Calls answered with 200 in `took_s`, and how long each took; health's own times; what else was answered."""

    took_s: float
    calls_ms: list[float]
    health_ms: list[float]
    failures: dict[str, int]

    @property
    def per_second(self) -> float:
        return len(self.calls_ms) / self.took_s


def storm(address: str, call: bytes, *, connections: int, seconds: float) -> Outcome:
    """A storm from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.storm", address, str(connections), str(seconds)]
    done = subprocess.run(
        command, input=call, capture_output=True, cwd=_REPOSITORY, timeout=seconds + 2 * SILENCE_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"the storm failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Outcome)


class _Caller:
    """One connection that asks the same again and again."""

    def __init__(self, address: str, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._sent_at = 0.0
        self.took_ms = array("d")
        self.failures: dict[str, int] = {}
        self.stream = socket.socket(socket.AF_UNIX)
        self.stream.connect(address)

    def ask(self) -> None:
        self._sent_at = perf_counter()
        self.stream.sendall(self._request)

    def hear(self) -> bool:
        """Whether the whole answer is here now."""
        data = self.stream.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
        head, ends, body = self._received.partition(b"\r\n\r\n")
        if not ends or len(body) < _length(head):
            return False
        self._received = b""
        if head.startswith(b"HTTP/1.1 200 "):
            self.took_ms.append((perf_counter() - self._sent_at) * 1000)
        else:
            status = head[9:12].decode()
            self.failures[status] = self.failures.get(status, 0) + 1
        return True


def _length(head: bytes) -> int:
    _, _, told = head.lower().partition(b"content-length: ")
    return int(told.partition(b"\r\n")[0])


def _made(address: str, call: bytes, connections: int, seconds: float) -> Outcome:
    callers = [_Caller(address, call) for _ in range(connections)]
    doctor = _Caller(address, HEALTH)
    selector = selectors.DefaultSelector()
    for caller in (*callers, doctor):
        selector.register(caller.stream, selectors.EVENT_READ, caller)
        caller.ask()
    began = perf_counter()
    took_s = _until(selector, doctor, began, seconds)
    failures: dict[str, int] = {}
    for caller in callers:
        for status, count in caller.failures.items():
            failures[status] = failures.get(status, 0) + count
    calls_ms = [took for caller in callers for took in caller.took_ms]
    return Outcome(took_s=took_s, calls_ms=calls_ms, health_ms=list(doctor.took_ms), failures=failures)


def _until(selector: selectors.BaseSelector, doctor: _Caller, began: float, seconds: float) -> float:
    next_health, answered = float("inf"), 0
    while (now := perf_counter()) < began + seconds and answered < MOST_CALLS:
        if now >= next_health:
            next_health = float("inf")
            doctor.ask()
        ready = selector.select(min(SILENCE_S, max(0.0, next_health - now)))
        if not ready and next_health == float("inf"):
            raise TimeoutError("nothing was answered")
        for key, _ in ready:
            if not key.data.hear():
                continue
            if key.data is doctor:
                next_health = now + HEALTH_EVERY_S
            else:
                answered += 1
                key.data.ask()
    return perf_counter() - began


if __name__ == "__main__":
    place, count, length = sys.argv[1:]
    outcome = _made(place, sys.stdin.buffer.read(), int(count), float(length))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))
