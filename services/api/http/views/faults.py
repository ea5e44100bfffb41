"""This file is how an error looks on the wire: two shapes, by status, as existing clients read them."""

from __future__ import annotations

from typing import Annotated

from services.api.http.shapes import says
from services.api.http.views.wire import Answer

LISTED = frozenset({401, 403, 413, 422, 429})
"""Statuses whose bodies hold a list and the request's id."""


class Fault(Answer, frozen=True, kw_only=True):
    """What was wrong."""

    error: Annotated[str, says("one sentence: which field, what was wrong, what is allowed")]


class ListedFault(Answer, frozen=True, kw_only=True):
    """What was wrong, with the request's id."""

    request_id: Annotated[str, says("the request's id, also in the header X-Request-Id")]
    errors: Annotated[list[str], says("one sentence: which field, what was wrong, what is allowed")]


def shape(status: int) -> type[Fault | ListedFault]:
    """
    >>> shape(404).__name__, shape(422).__name__
    ('Fault', 'ListedFault')
    """
    return ListedFault if status in LISTED else Fault
