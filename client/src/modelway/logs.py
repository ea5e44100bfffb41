"""This file is reading a version's logs page by page, while they grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from modelway.models import version_path
from modelway.records import Json, LogKind, LogLine
from modelway.transport import Transport

_PATHS = {LogKind.BUILD: "buildLogs", LogKind.INSTANCE: "instanceLogs", LogKind.DEPLOYMENT: "deploymentLogs"}
_PAGE_LINES = 5000
_LOOK_BACK_NS = (1, 1_000_000_000, 0)


@dataclass
class Log:
    """One log of one version, read so that each line is given once, however often pages are asked for.

    Pages are asked for by time, several lines may share one, and whether the platform counts the given time in
    is left open. So when a page brings nothing new, the next one looks back further, for the late lines of
    instances that write side by side, and then not at all, past more lines of one moment than a page holds.
    """

    transport: Transport
    model_id: str
    version_id: str
    kind: LogKind
    _newest_ns: int = 0
    _seen: Counter[LogLine] = field(default_factory=Counter)
    _idle_pages: int = 0

    def more(self) -> list[LogLine]:
        """What one more page brings."""
        since_ns = max(0, self._newest_ns - _LOOK_BACK_NS[self._idle_pages % len(_LOOK_BACK_NS)])
        page = self._page(sinceTimeNano=since_ns, maxResults=_PAGE_LINES)
        lines = list(self._unseen(page))
        self._idle_pages = 0 if lines else self._idle_pages + 1
        return lines

    def rest(self) -> Iterator[LogLine]:
        """All there is until now."""
        self._idle_pages = 0
        while self._idle_pages < len(_LOOK_BACK_NS):
            yield from self.more()

    def tail(self, lines: int) -> tuple[LogLine, ...]:
        """The last lines there are now."""
        return self._page(tail=lines)[-lines:]

    def _page(self, **params: int) -> tuple[LogLine, ...]:
        path = f"{version_path(self.model_id, self.version_id)}/{_PATHS[self.kind]}"
        return self.transport.get(path, _read_lines, **params)

    def _unseen(self, lines: Iterable[LogLine]) -> Iterator[LogLine]:
        here: Counter[LogLine] = Counter()
        for line in lines:
            here[line] += 1
            if here[line] > self._seen[line]:
                self._seen[line] += 1
                self._newest_ns = max(self._newest_ns, line.time_ns)
                yield line
        for line in [old for old in self._seen if old.time_ns < self._newest_ns - max(_LOOK_BACK_NS)]:
            del self._seen[line]


def _read_lines(answer: Json) -> tuple[LogLine, ...]:
    return tuple(LogLine.read(each) for each in answer["logs"])
