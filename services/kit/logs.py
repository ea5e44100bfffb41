"""This file is logging: one JSON object a line on standard error, with the service and the bound context."""

from __future__ import annotations

import io
import logging
import os
import select
import sys
from typing import Any, TextIO, cast

import structlog


def set_up_logs(service: str, service_id: str, level: str) -> None:
    """From here on `structlog.get_logger()` and the standard library both write JSON lines on standard error.

    Context is bound with `structlog.contextvars.bound_contextvars` and appears on every line written inside.
    """

    def add_service(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event.setdefault("service", service)
        event.setdefault("service_id", service_id)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_service,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    render = structlog.processors.JSONRenderer()
    outlet = Outlet(sys.stderr.fileno())
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast("TextIO", outlet)),
    )
    handler = logging.StreamHandler(outlet)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries chatter at info: their words count from warning on, ours from `level` on.
    root.setLevel(max(number, logging.WARNING))


class Outlet(io.TextIOBase):
    """Writes lines to a file descriptor, and never fails or waits for it.

    Who keeps our lines may die or fall silent, and a full pipe would hold up the whole process, a broken one fail
    whatever happened to say something: what cannot be written now is dropped.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)

    def write(self, text: str) -> int:
        data = text.encode(errors="backslashreplace")
        try:
            # A pipe that is ready takes so many bytes at once without waiting.
            for start in range(0, len(data), select.PIPE_BUF):
                if not self._is_ready():
                    break
                os.write(self._descriptor, data[start : start + select.PIPE_BUF])
        except OSError:
            pass
        return len(text)

    def _is_ready(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))
