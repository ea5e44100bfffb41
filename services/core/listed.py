"""This file is what a list tells of a model: little, however many versions it has and whatever they were given."""

from __future__ import annotations

from msgspec.structs import replace

from services.core.model import Model


def listed(model: Model) -> Model:
    """`model` with its active version alone, and without what no list shows and what may be large."""
    active = model.active
    return replace(
        model,
        settings=replace(model.settings, environment_variables=()),
        versions=() if active is None else (replace(active, example_input=""),),
        rollouts=(),
    )
