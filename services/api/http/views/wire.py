"""This file is how plain things look on the wire: instants, and where things are found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from services.api.http.routes import API
from services.api.http.shapes import says

ONE_DATA_PLANE = "local"  # there is one so far

DataPlaneId = Annotated[str, says("where it runs: there is one data plane so far, local")]


class Answer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON object as it is answered. Names are camelCase on the wire; each field says what it is, with its unit."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    """
    >>> milliseconds(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC))
    2000
    """
    return (at - _EPOCH) // timedelta(milliseconds=1)


def model_at(model_id: str) -> str:
    return f"{API}/modelApis/{model_id}"


def version_at(model_id: str, version_id: str) -> str:
    return f"{model_at(model_id)}/versions/{version_id}"
