"""This file is who may do what: the one place where it is decided, whatever route asks."""

from __future__ import annotations

from enum import StrEnum

from services.core.person import Person


class Action(StrEnum):
    """What a person may ask of the management API; every route names the one it needs."""

    VIEW = "view"
    VIEW_AUDIT = "view-audit"
    VIEW_PLATFORM = "view-platform"
    CHANGE_PLATFORM = "change-platform"
    CREATE_PROJECT = "create-project"
    CHANGE_FILES = "change-files"
    CHANGE_ENVIRONMENTS = "change-environments"
    CREATE_MODEL = "create-model"
    VIEW_SETTINGS = "view-settings"
    CHANGE_SETTINGS = "change-settings"
    PUBLISH_VERSION = "publish-version"
    RUN_VERSION = "run-version"
    ARCHIVE_MODEL = "archive-model"
    SEE_TOKENS = "see-tokens"
    CREATE_TOKEN = "create-token"  # noqa: S105  # a name, not a password
    REGENERATE_TOKEN = "regenerate-token"  # noqa: S105  # a name, not a password
    REVOKE_TOKEN = "revoke-token"  # noqa: S105  # a name, not a password


ANYONE = frozenset({Action.VIEW})  # with an account


def may(person: Person, action: Action) -> bool:
    """Whether `person` may do `action`: administrators everything, everyone else only look."""
    return person.is_administrator or action in ANYONE
