"""This file decides about the access tokens of a model: named, as many as people like, known here by their hashes."""

from __future__ import annotations

from services.core.commands import CreateAccessToken, RegenerateAccessToken, RevokeAccessToken, ShowAccessToken
from services.core.errors import Refused
from services.core.events import (
    AccessTokenCreated,
    AccessTokenRegenerated,
    AccessTokenRevoked,
    AccessTokenShown,
    Event,
)
from services.core.model import Model
from services.core.promotion import refuse_archived


def create(model: Model, command: CreateAccessToken) -> tuple[Event, ...]:
    refuse_archived(model)
    if any(token.id == command.token_id for token in model.tokens):
        return ()
    if command.is_internal and model.internal_token is not None:
        return ()
    if not command.is_internal and any(token.name == command.name for token in model.listed_tokens):
        raise Refused(f"model {model.name!r} already has an access token named {command.name!r}")
    created = AccessTokenCreated(
        token_id=command.token_id,
        name=command.name,
        token_hash=command.token_hash,
        is_internal=command.is_internal,
    )
    return (created,)


def regenerate(model: Model, command: RegenerateAccessToken) -> tuple[Event, ...]:
    internal = model.internal_token
    if command.is_internal and internal is not None and internal.id == command.token_id:
        return (AccessTokenRegenerated(token_id=internal.id, token_hash=command.token_hash),)
    token = model.token(command.token_id)
    return (AccessTokenRegenerated(token_id=token.id, token_hash=command.token_hash),)


def revoke(model: Model, command: RevokeAccessToken) -> tuple[Event, ...]:
    return (AccessTokenRevoked(token_id=model.token(command.token_id).id),)


def show(model: Model, command: ShowAccessToken) -> tuple[Event, ...]:
    return (AccessTokenShown(token_id=model.token(command.token_id).id),)
