"""This file is a copy of some of the models: read from the database now and then, and of our own changes at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.core.aggregates import State
from services.core.ids import AggregateId
from services.core.model import Model


class Copied:
    """The models that `read` gives, in their newest state. What `read` would not give any more stays until it is read
    again.
    """

    def __init__(self, read: Callable[[], Awaitable[list[Model]]]) -> None:
        self._read = read
        self._changed: dict[AggregateId, Model] = {}  # since the last reading began
        self.models: dict[AggregateId, Model] = {}

    def changed(self, state: State) -> None:
        """Hear of the state after a change that this process stored."""
        if isinstance(state, Model):
            for known in (self.models, self._changed):
                _keep_newer(known, state)

    async def sweep(self) -> None:
        """Read anew what others changed. Raises what `read` raises, and keeps what it had then."""
        self._changed = {}
        models = {model.id: model for model in await self._read()}
        for model in self._changed.values():
            _keep_newer(models, model)
        self.models = models


def _keep_newer(known: dict[AggregateId, Model], model: Model) -> None:
    """Changes may be heard of in another order than they were stored in."""
    before = known.get(model.id)
    if before is None or before.revision < model.revision:
        known[model.id] = model
