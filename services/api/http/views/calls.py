"""This file is how the record of a call looks on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from services.api.http.shapes import Milliseconds, VersionId, says
from services.api.http.views.wire import Answer, milliseconds
from services.core.calls import Call
from services.core.ids import VersionId as VersionIdText
from services.core.model import Model


class CallView(Answer, frozen=True, kw_only=True):
    """A call that was let in, and who answered it."""

    request_id: Annotated[str, says("the X-Request-Id of its answer", pattern="^[0-9A-F]{16}$")]
    label: Annotated[str, says("the label that was called, as in latest")]
    version_id: Annotated[VersionId | None, says("the version that answered; null: the label led to none")]
    version_number: Annotated[int | None, says("its number")]
    instance_id: Annotated[
        str | None, says("the instance that answered, the last of those that were tried; null: none was free")
    ]
    began: Annotated[Milliseconds, says("when the router had the head of the request, epoch milliseconds")]
    seconds: Annotated[float, says("from then to the last byte of the answer, seconds", low=0)]
    status: Annotated[int, says("HTTP status of the answer; 0: the caller left before there was one")]


class Calls(Answer, frozen=True, kw_only=True):
    """The calls of one request id."""

    items: Annotated[list[CallView], says("one, as a rule: an id is drawn, and may be drawn twice")]
    kept_for_days: Annotated[int, says("for how long records of calls are kept, as far as there is room, days")]


def calls(found: Sequence[Call], model: Model, *, kept_for_days: int) -> Calls:
    numbers: dict[VersionIdText | None, int] = {version.id: version.number for version in model.versions}
    items = [
        CallView(
            request_id=call.request_id,
            label=call.label,
            version_id=call.version_id,
            version_number=numbers.get(call.version_id),
            instance_id=call.instance_id,
            began=milliseconds(call.began_at),
            seconds=call.took_s,
            status=max(0, call.status),
        )
        for call in found
    ]
    return Calls(items=items, kept_for_days=kept_for_days)
