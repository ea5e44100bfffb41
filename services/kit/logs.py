"""This file is logging: one JSON object a line on standard error, with the service and the bound context."""

from __future__ import annotations

import logging
import sys
from typing import Any

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
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
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
