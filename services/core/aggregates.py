"""This file is the list of aggregates: for each its name, its state, and its two pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

from services.core import configuration, decisions, environment, model, organisation, person, project, quota
from services.core.events import Actor, Entry, Event
from services.core.ids import AggregateId, CommandId, EventId

State = (
    model.Model
    | project.Project
    | environment.Environment
    | person.Person
    | organisation.Organisation
    | configuration.Configuration
    | quota.Quotas
)
S = TypeVar("S", bound=State)


class Aggregate(msgspec.Struct, Generic[S], frozen=True):
    """A kind of thing with a history of its own."""

    name: str
    state: type[S]
    decide: Callable[[S | None, Any], tuple[Event, ...]]
    evolve: Callable[[S | None, Entry], S]


MODEL = Aggregate("model", model.Model, decisions.decide, model.evolve)
PROJECT = Aggregate("project", project.Project, project.decide, project.evolve)
ENVIRONMENT = Aggregate("environment", environment.Environment, environment.decide, environment.evolve)
PERSON = Aggregate("person", person.Person, person.decide, person.evolve)
ORGANISATION = Aggregate("organisation", organisation.Organisation, organisation.decide, organisation.evolve)
CONFIGURATION = Aggregate("configuration", configuration.Configuration, configuration.decide, configuration.evolve)
QUOTAS = Aggregate("quotas", quota.Quotas, quota.decide, quota.evolve)
AGGREGATES: dict[str, Aggregate[Any]] = {
    aggregate.name: aggregate
    for aggregate in (MODEL, PROJECT, ENVIRONMENT, PERSON, ORGANISATION, CONFIGURATION, QUOTAS)
}


def entries(
    aggregate: str,
    aggregate_id: AggregateId,
    events: Iterable[Event],
    *,
    after_revision: int,
    command_id: CommandId,
    at: datetime,
    actor: Actor,
) -> tuple[Entry, ...]:
    """`events` as the next entries of a history; ids follow from the command's, so a repeated one is recognised."""
    return tuple(
        Entry(
            id=EventId(f"{command_id}.{place}"),
            at=at,
            actor=actor,
            aggregate=aggregate,
            aggregate_id=aggregate_id,
            revision=after_revision + place,
            event=event,  # type: ignore[arg-type]  # every subclass of Event is in AnyEvent: a test holds it to that
        )
        for place, event in enumerate(events, start=1)
    )


def fold(aggregate: Aggregate[S], history: Iterable[Entry], start: S | None = None) -> S | None:
    """The state after all of `history`, which is in order of revision."""
    state = start
    for entry in history:
        state = aggregate.evolve(state, entry)
    return state
