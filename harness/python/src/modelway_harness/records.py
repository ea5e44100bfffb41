"""This file is the request id in what the user's code logs: a format may have `%(request_id)s`."""

from __future__ import annotations

import logging

from . import asking


class Record(logging.LogRecord):
    """Knows the request it was made in, "-" where none ran. What `extra` says of a `request_id` counts."""

    __slots__ = ("_asked",)  # beside what formatters show, and what `extra` must not set

    def __init__(self, *values: object, **named: object) -> None:
        super().__init__(*values, **named)  # type: ignore[arg-type]  # as they came
        self._asked = asking.now or "-"

    def getMessage(self) -> str:  # noqa: N802  # which every formatter calls first
        self.__dict__.setdefault("request_id", self._asked)
        return super().getMessage()


def name_requests() -> None:
    """Have `logging` make such records from now on."""
    logging.setLogRecordFactory(Record)
