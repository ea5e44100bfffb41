"""This file is the load as a test has it: started, asked what it saw so far, and ended."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import msgspec

from benchmarks.exchange import request_bytes
from tests.load.generator import Call, Lane, Order
from tests.parts import wait_for

REPOSITORY = Path(__file__).parents[2]
END_S = 10.0
SETTLED_CALLS = 3  # of each lane, begun after a change and answered: then nothing of it is still to be seen


def lane(
    name: str, url: str, token: str, body: object, *, per_second: float = 0.0, callers: int = 0, new_every: int = 2
) -> Lane:
    """Calls of `url` with an access token."""
    parts = urlsplit(url)
    request = request_bytes("POST", parts.path, {"Authorization": f"Bearer {token}"}, msgspec.json.encode(body))
    return Lane(
        name=name, address=parts.netloc, request=request, per_second=per_second, callers=callers, new_every=new_every
    )


@dataclass(frozen=True)
class Summary:
    """What came of some calls. Durations in seconds."""

    calls: Sequence[Call]

    @property
    def failed(self) -> list[Call]:
        return [each for each in self.calls if each.status != 200]

    @property
    def longest_s(self) -> float:
        return max((each.wait_s for each in self.calls), default=0.0)

    @property
    def median_s(self) -> float:
        return median(each.wait_s for each in self.calls) if self.calls else 0.0

    @property
    def late_s(self) -> float:
        """How late the generator itself was, at worst."""
        return max((each.late_s for each in self.calls), default=0.0)

    def of(self, *prefixes: str) -> Summary:
        """Of the lanes whose names begin so."""
        return Summary([each for each in self.calls if each.lane.startswith(prefixes)])

    def sent_after(self, moment: float) -> Summary:
        """Of those that began later than `moment` of the monotonic clock."""
        return Summary([each for each in self.calls if each.sent_at > moment])

    def versions(self) -> Counter[int]:
        """How many calls each version answered."""
        return Counter(each.version for each in self.calls if each.version)

    def as_document(self) -> dict[str, object]:
        """For a report."""
        return {
            "requests": len(self.calls),
            "failed": len(self.failed),
            "failures": dict(Counter(each.what for each in self.failed)),
            "median_ms": round(self.median_s * 1000, 1),
            "longest_ms": round(self.longest_s * 1000, 1),
            "generator_late_ms": round(self.late_s * 1000, 1),
            "versions": {str(number): count for number, count in sorted(self.versions().items())},
        }

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.as_document().items())


class Load:
    """A generator that runs. Made by `calling`."""

    def __init__(self, lanes: Sequence[Lane], journal: Path, process: subprocess.Popen[bytes]) -> None:
        self._lanes = lanes
        self._journal = journal
        self._process = process
        self._decoder = msgspec.json.Decoder(Call)
        self._read_to = 0
        self._calls: list[Call] = []

    def summary(self, *, since: float = 0.0) -> Summary:
        """Of the calls that have ended by now, and not before `since`."""
        self._read()
        return Summary([each for each in self._calls if each.ended_at >= since])

    @contextmanager
    def during(self, what: str, *, within_s: float = 100.0) -> Iterator[Slice]:
        """The calls from here until each lane was answered again after the end; then their figures are printed."""
        part = Slice(self, time.monotonic())
        self.settle(part.began_at, within_s=within_s)
        yield part
        self.settle(time.monotonic(), within_s=within_s)
        part.ended = self.summary(since=part.began_at)
        print(f"\n  {what}: {part.ended}", flush=True)

    def settle(self, since: float, *, within_s: float = 100.0) -> None:
        """Return once each lane has a few answers, good or bad, to calls sent after `since`."""
        wait_for(lambda: self._is_past(since), within_s, what="every lane is answered")

    def _is_past(self, since: float) -> bool:
        self._read()
        counts: Counter[str] = Counter()
        for call in reversed(self._calls):
            if call.ended_at < since:
                break
            counts[call.lane] += call.sent_at > since
        return all(counts[each.name] >= SETTLED_CALLS for each in self._lanes)

    def _read(self) -> None:
        assert self._process.poll() is None, "the load generator has ended by itself"
        with self._journal.open("rb") as file:
            file.seek(self._read_to)
            whole, _, _ = file.read().rpartition(b"\n")
        if whole:
            self._read_to += len(whole) + 1
            self._calls += map(self._decoder.decode, whole.split(b"\n"))


class Slice:
    """The calls of one scenario; whole once it has ended."""

    def __init__(self, load: Load, began_at: float) -> None:
        self._load = load
        self.began_at = began_at
        self.ended: Summary = Summary([])

    @property
    def so_far(self) -> Summary:
        return self._load.summary(since=self.began_at)

    def until(self, condition: Callable[[Summary], bool], *, within_s: float = 60.0, what: str = "") -> Summary:
        """What there is once `condition` is true of it."""
        wait_for(lambda: condition(self.so_far), within_s, what=what)
        return self.so_far


@contextmanager
def calling(*lanes: Lane, give_up_s: float = 90.0) -> Iterator[Load]:
    """Calls on all `lanes` inside."""
    order = Order(lanes=lanes, give_up_s=give_up_s)
    with tempfile.TemporaryDirectory(prefix="mw-load-") as folder:
        journal = Path(folder) / "calls"
        journal.touch()
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.load.generator", str(journal)], stdin=subprocess.PIPE, cwd=REPOSITORY
        )
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            process.stdin.flush()
            yield Load(lanes, journal, process)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_S)
