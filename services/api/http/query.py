"""This file is what queries may say, each thing said once: it is read by it, and the OpenAPI document tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET

from services.api.http.body import FARTHEST_MS, instant, plain_text, whole_number, yes_or_no
from services.api.http.shapes import says

T = TypeVar("T")

MAX_OFFSET = 1_000_000


class WholeNumber(msgspec.Struct, frozen=True):
    name: str
    description: str
    default: int
    low: int
    high: int

    is_required: ClassVar[bool] = False

    @property
    def schema(self) -> Any:
        return Annotated[int, says(self.description, default=self.default, low=self.low, high=self.high)]

    def of(self, request: web.Request) -> int:
        """Raises Invalid."""
        return whole_number(request, self.name, default=self.default, low=self.low, high=self.high)


class YesOrNo(msgspec.Struct, frozen=True):
    """False where it is left out."""

    name: str
    description: str

    is_required: ClassVar[bool] = False

    @property
    def schema(self) -> Any:
        return Annotated[bool, says(self.description, default=False)]

    def of(self, request: web.Request) -> bool:
        """Raises Invalid."""
        return yes_or_no(request, self.name)


class PlainText(msgspec.Struct, frozen=True):
    """`among`: all that it may be, where that is known."""

    name: str
    description: str
    at_most: int = 250
    among: tuple[str, ...] = ()
    default: str | None = None

    is_required: ClassVar[bool] = False

    @property
    def schema(self) -> Any:
        default = UNSET if self.default is None else self.default
        return Annotated[str, says(self.description, default=default, longest=self.at_most, among=self.among or None)]

    def of(self, request: web.Request) -> str | None:
        """None when it is left out, or empty. Raises Invalid."""
        return plain_text(request, self.name, at_most=self.at_most)


class Instant(msgspec.Struct, frozen=True):
    """Epoch milliseconds."""

    name: str
    description: str
    is_required: bool = False

    @property
    def schema(self) -> Any:
        return Annotated[int, says(self.description, low=0, high=FARTHEST_MS)]

    def of(self, request: web.Request) -> datetime | None:
        """None when it is left out, or empty. Raises Invalid."""
        return instant(request, self.name)


LIMIT = WholeNumber("limit", "how many items a page has at most", default=25, low=1, high=1000)
OFFSET = WholeNumber("offset", "how many items to leave out before the page begins", default=0, low=0, high=MAX_OFFSET)
ANY_LIMIT = WholeNumber(
    "limit",
    "how many items to answer with at most; left out: all there are",
    default=MAX_OFFSET,
    low=1,
    high=MAX_OFFSET,
)
PART = (ANY_LIMIT, OFFSET)
"""For lists that existing clients expect whole: who wants a part says so."""

TOTAL = "X-Total-Count"


def part(request: web.Request, items: Sequence[T]) -> tuple[Sequence[T], dict[str, str]]:
    """What `PART` asks for of `items`, and the header that tells how many there are in all. Raises Invalid."""
    offset = OFFSET.of(request)
    return items[offset : offset + ANY_LIMIT.of(request)], {TOTAL: str(len(items))}
