"""This file is a load that costs its maker little: for servers that answer more than `load` can ask for.

    python -m benchmarks.storm ADDRESS CONNECTIONS SECONDS WARM_UP_SECONDS HEALTH < call > outcome.json

Every connection sends `call` again as soon as it was answered; what ends within the warm-up does not count. With HEALTH
`yes`, one more connection asks for health every 10 ms. Bounded in number and in time.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from array import array
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import msgspec

HEALTH = b"GET /health HTTP/1.1\r\nHost: worker\r\n\r\n"
HEALTH_EVERY_S = 0.01
SILENCE_S = 10.0
MOST_CALLS = 2_000_000
_REPOSITORY = Path(__file__).parents[1]
_NEVER = float("inf")
_BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Calls answered with 200 in `took_s`, and how long each took; health's own times; what else was answered.

    `calls_before` were answered during the warm-up.
    """

    took_s: float
    calls_ms: list[float]
    health_ms: list[float]
    failures: dict[str, int]
    calls_before: int = 0

    @property
    def per_second(self) -> float:
        return len(self.calls_ms) / self.took_s


def storm(
    address: str, call: bytes, *, connections: int, seconds: float, warm_up_s: float = 0.0, asks_health: bool = True
) -> Outcome:
    """A storm from a process of its own on `address`: the absolute path of a Unix socket, or host:port."""
    numbers = (str(connections), str(seconds), str(warm_up_s))
    command = [sys.executable, "-m", "benchmarks.storm", address, *numbers, "yes" if asks_health else "no"]
    within_s = warm_up_s + seconds + 2 * SILENCE_S
    done = subprocess.run(command, input=call, capture_output=True, cwd=_REPOSITORY, timeout=within_s, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the storm failed: {done.stderr.decode()[-2000:]}")
    return msgspec.json.decode(done.stdout, type=Outcome)


class _Caller:
    """One connection that asks the same again and again, and never waits while it sends."""

    def __init__(self, address: str, request: bytes) -> None:
        self._request = request
        self._unsent = memoryview(b"")
        self._received = b""
        self._sent_at = 0.0
        self.took_ms = array("d")
        self.failures: dict[str, int] = {}
        self.stream = _connected(address)

    def ask(self) -> bool:
        """Whether the whole request is out; else `go_on` sends more of it once the server takes more."""
        self._sent_at = perf_counter()
        sent = self.stream.send(self._request)
        if sent == len(self._request):
            return True
        self._unsent = memoryview(self._request)[sent:]
        return self.go_on()

    def go_on(self) -> bool:
        with suppress(BlockingIOError):
            while self._unsent:
                self._unsent = self._unsent[self.stream.send(self._unsent) :]
        return not self._unsent

    def hear(self) -> bool:
        """Whether the whole answer is here now."""
        data = self.stream.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data
        head, ends, body = self._received.partition(b"\r\n\r\n")
        if not ends or len(body) < _length(head):
            return False
        if self._unsent:
            raise ConnectionError("the server answered before it had the whole request")
        self._received = b""
        if head.startswith(b"HTTP/1.1 200 "):
            self.took_ms.append((perf_counter() - self._sent_at) * 1000)
        else:
            status = head[9:12].decode()
            self.failures[status] = self.failures.get(status, 0) + 1
        return True

    def forget(self) -> None:
        del self.took_ms[:]
        self.failures.clear()


def _connected(address: str) -> socket.socket:
    if address.startswith("/"):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(address)
    else:
        host, _, port = address.rpartition(":")
        stream = socket.create_connection((host, int(port)), SILENCE_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setblocking(False)
    return stream


def _length(head: bytes) -> int:
    _, _, told = head.lower().partition(b"content-length: ")
    return int(told.partition(b"\r\n")[0])


class _Storm:
    """All connections, and one loop over those that are ready."""

    def __init__(self, address: str, call: bytes, connections: int, *, asks_health: bool) -> None:
        self._callers = [_Caller(address, call) for _ in range(connections)]
        self._doctor = _Caller(address, HEALTH) if asks_health else None
        self._next_health = _NEVER
        self._calls_before = 0
        self._selector = selectors.DefaultSelector()
        for caller in (*self._callers, *([self._doctor] if self._doctor else [])):
            self._selector.register(caller.stream, selectors.EVENT_READ, caller)
            self._ask(caller)

    def blow(self, seconds: float) -> float:
        """How long it really took."""
        began, answered = perf_counter(), 0
        while (now := perf_counter()) < began + seconds and answered < MOST_CALLS:
            if self._doctor is not None and now >= self._next_health:
                self._next_health = _NEVER
                self._ask(self._doctor)
            ready = self._selector.select(min(SILENCE_S, max(0.0, self._next_health - now)))
            if not ready and self._next_health == _NEVER:
                raise TimeoutError("nothing was answered")
            for key, events in ready:
                caller = key.data
                if events == selectors.EVENT_READ and caller is not self._doctor:  # what nearly all are
                    if caller.hear():
                        answered += 1
                        self._ask(caller)
                else:
                    self._serve_rarer(caller, events, now)
        return perf_counter() - began

    def outcome(self, took_s: float) -> Outcome:
        failures: Counter[str] = Counter()
        for caller in self._callers:
            failures.update(caller.failures)
        calls_ms = [took for caller in self._callers for took in caller.took_ms]
        health_ms = list(self._doctor.took_ms) if self._doctor else []
        return Outcome(
            took_s=took_s,
            calls_ms=calls_ms,
            health_ms=health_ms,
            failures=dict(failures),
            calls_before=self._calls_before,
        )

    def forget(self) -> None:
        """Nothing that was seen so far counts."""
        for caller in self._callers:
            self._calls_before += len(caller.took_ms)
            caller.forget()

    def _ask(self, caller: _Caller) -> None:
        if not caller.ask():
            self._selector.modify(caller.stream, _BOTH, caller)

    def _serve_rarer(self, caller: _Caller, events: int, now: float) -> None:
        if events & selectors.EVENT_WRITE and caller.go_on():
            self._selector.modify(caller.stream, selectors.EVENT_READ, caller)
        if not events & selectors.EVENT_READ or not caller.hear():
            return
        if caller is self._doctor:
            self._next_health = now + HEALTH_EVERY_S
        else:
            self._ask(caller)


if __name__ == "__main__":
    place, count, length, warm_up, health = sys.argv[1:]
    made = _Storm(place, sys.stdin.buffer.read(), int(count), asks_health=health == "yes")
    made.blow(float(warm_up))
    made.forget()
    sys.stdout.buffer.write(msgspec.json.encode(made.outcome(made.blow(float(length)))))
