"""This file is how a result is written that goes out piece by piece: as lines of JSON, or as Server-Sent Events.

A piece is one JSON text in one line. The last of a whole stream is the end, of a broken one an error; so who reads it
knows, even behind a proxy that hides how the connection ended.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Flow(NamedTuple):
    """One way to write pieces. All of these take JSON in one line."""

    kind: str  # the content type
    piece: Callable[[str], str]
    end: Callable[[str], str]
    error: Callable[[str], str]


LINES = Flow(
    "application/x-ndjson",
    piece=lambda text: f'{{"result": {text}}}\n',
    end=lambda text: f"{text}\n",
    error=lambda text: f"{text}\n",
)
EVENTS = Flow(
    "text/event-stream",
    piece=lambda text: f"data: {text}\n\n",
    end=lambda text: f"event: end\ndata: {text}\n\n",
    error=lambda text: f"event: error\ndata: {text}\n\n",
)
_FLOWS = {flow.kind: flow for flow in (LINES, EVENTS)}
_JSON = "application/json"
_ANY = ("application/*", "*/*")


def flow_for(accept: str) -> Flow | None:
    """What a caller who sends this `Accept` wants pieces written as; None where it takes JSON as gladly.

    A stream has to be asked for by name. The highest `q` decides; among equals the first, and a name before `*/*`.

    >>> flow_for("text/event-stream").kind, flow_for("*/*, application/x-ndjson").kind
    ('text/event-stream', 'application/x-ndjson')
    >>> flow_for("*/*"), flow_for("text/event-stream;q=0.5, application/json"), flow_for("application/x-ndjson;q=0")
    (None, None, None)
    """
    best, best_rank = None, (0.0, True)
    for each in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in each.split(";"))
        rank = _q(parameters), kind not in _ANY
        if rank > best_rank and (kind in _FLOWS or kind == _JSON or kind in _ANY):
            best, best_rank = _FLOWS.get(kind), rank
    return best


def _q(parameters: list[str]) -> float:
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            return float(value) if _NUMBER.fullmatch(value) else 0.0
    return 1.0


_NUMBER = re.compile(r" *[01](\.[0-9]{0,3})?")
