"""This file is how a field of a body or an answer says what it is, and the kinds of fields that many of them have."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta


def says(  # each a word of JSON Schema
    description: str,
    *,
    default: Any = UNSET,
    low: float | None = None,
    high: float | None = None,
    longest: int | None = None,
    pattern: str | None = None,
    among: tuple[str, ...] | None = None,
) -> Meta:
    """What the OpenAPI document tells of a field.

    Nothing of it is checked when a body is read: these are the bounds that core refuses with a sentence of its own.
    What msgspec should check stands in a `Meta`.

    >>> says("instances", default=2, low=1, high=32).extra_json_schema
    {'default': 2, 'minimum': 1, 'maximum': 32}
    """
    given: dict[str, Any] = {
        "default": default,
        "minimum": UNSET if low is None else low,
        "maximum": UNSET if high is None else high,
        "maxLength": UNSET if longest is None else longest,
        "pattern": UNSET if pattern is None else pattern,
        "enum": UNSET if among is None else list(among),
    }
    return Meta(
        description=description, extra_json_schema={word: said for word, said in given.items() if said is not UNSET}
    )


ID_PATTERN = "^[0-9a-f]{24}$"
DIGEST_PATTERN = "^[0-9a-f]{64}$"

Id = Annotated[str, says("an id: 24 lower-case hexadecimal characters", pattern=ID_PATTERN)]
ModelId = Annotated[Id, says("the Model API: 24 lower-case hexadecimal characters")]
VersionId = Annotated[Id, says("the version: 24 lower-case hexadecimal characters")]
ProjectId = Annotated[Id, says("the project: 24 lower-case hexadecimal characters")]
CommitId = Annotated[Id, says("the commit, a snapshot of the project's files: 24 lower-case hexadecimal characters")]
EnvironmentId = Annotated[Id, says("the compute environment: 24 lower-case hexadecimal characters")]
PersonId = Annotated[Id, says("the person: 24 lower-case hexadecimal characters")]
Sha256 = Annotated[str, says("the SHA-256: 64 lower-case hexadecimal characters", pattern=DIGEST_PATTERN)]

Number = Annotated[int, says("the version's number: 1 for a model's first, without gaps", low=1)]
Milliseconds = Annotated[int, says("epoch milliseconds")]
Created = Annotated[int, says("when it was made, epoch milliseconds")]
CreatedBy = Annotated[str, says("the user name of who made it")]
UserName = Annotated[str, says("the person's user name: letters, digits, '.', '_' and '-', at most 100")]
