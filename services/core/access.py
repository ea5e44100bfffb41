"""This file is who may do what: one table, whatever route asks.

How somebody stands to a thing (`Standing`) follows from owners, collaborators and visibility: core/standing. What each
standing may do is here: an action is allowed from one standing upwards. Source: the permission table of the product
whose clients work unchanged; what that leaves open is said beside the action.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Standing(IntEnum):
    """How a person stands to a thing; each may all that those before it may."""

    STRANGER = 0
    FINDER = 1  # may find it and read its name: searchable projects
    VISITOR = 2  # may look at it: whatever is public
    VIEWER = 3  # a model's Viewer; a project's Results Consumer; a member of an organisation
    EDITOR = 4  # a model's Editor; a project's Contributor
    PUBLISHER = 5  # a model's Editor who is also a collaborator of its project
    OWNER = 6  # owners, and administrators


class Kind(StrEnum):
    """What an action is done to."""

    PLATFORM = "platform"
    PERSON = "person"
    ORGANISATION = "organisation"
    PROJECT = "project"
    ENVIRONMENT = "environment"
    MODEL = "model"


class Action(StrEnum):
    """What a person may ask of the management API; every route names the one it needs."""

    # Of the platform anyone with an account is a VISITOR, an administrator its OWNER.
    LOOK_AROUND = "look-around"
    CREATE_PROJECT = "create-project"
    CREATE_ENVIRONMENT = "create-environment"
    CREATE_ORGANISATION = "create-organisation"
    VIEW_PLATFORM = "view-platform"
    CHANGE_PLATFORM = "change-platform"
    MANAGE_PEOPLE = "manage-people"
    VIEW_WHOLE_AUDIT = "view-whole-audit"

    # Of a person anyone is a VISITOR, they themselves and administrators are OWNERs.
    VIEW_PERSON = "view-person"
    CHANGE_PERSON = "change-person"

    VIEW_ORGANISATION = "view-organisation"
    CHANGE_ORGANISATION = "change-organisation"

    FIND_PROJECT = "find-project"
    VIEW_FILES = "view-files"
    PUBLISH_FILES = "publish-files"  # in a version of another project's model
    CHANGE_FILES = "change-files"
    CREATE_MODEL = "create-model"
    DESCRIBE_PROJECT = "describe-project"
    SHARE_PROJECT = "share-project"

    USE_ENVIRONMENT = "use-environment"
    CHANGE_ENVIRONMENT = "change-environment"

    VIEW = "view"
    VIEW_LOGS = "view-logs"
    INVOKE = "invoke"
    VIEW_SETTINGS = "view-settings"
    CHANGE_SETTINGS = "change-settings"
    PUBLISH_VERSION = "publish-version"
    RUN_VERSION = "run-version"
    VIEW_AUDIT = "view-audit"
    SEE_TOKENS = "see-tokens"
    CREATE_TOKEN = "create-token"  # noqa: S105  # a name, not a password
    REGENERATE_TOKEN = "regenerate-token"  # noqa: S105  # a name, not a password
    REVOKE_TOKEN = "revoke-token"  # noqa: S105  # a name, not a password
    ARCHIVE_MODEL = "archive-model"
    SHARE_MODEL = "share-model"  # visibility, collaborators, ownership, restricted or not


_K, _S = Kind, Standing

TABLE: dict[Action, tuple[Kind, Standing]] = {
    Action.LOOK_AROUND: (_K.PLATFORM, _S.VISITOR),
    Action.CREATE_PROJECT: (_K.PLATFORM, _S.VISITOR),
    Action.CREATE_ENVIRONMENT: (_K.PLATFORM, _S.VISITOR),  # such that everybody sees: administrators
    Action.CREATE_ORGANISATION: (_K.PLATFORM, _S.VISITOR),
    Action.VIEW_PLATFORM: (_K.PLATFORM, _S.OWNER),
    Action.CHANGE_PLATFORM: (_K.PLATFORM, _S.OWNER),
    Action.MANAGE_PEOPLE: (_K.PLATFORM, _S.OWNER),
    Action.VIEW_WHOLE_AUDIT: (_K.PLATFORM, _S.OWNER),
    Action.VIEW_PERSON: (_K.PERSON, _S.VISITOR),
    Action.CHANGE_PERSON: (_K.PERSON, _S.OWNER),
    Action.VIEW_ORGANISATION: (_K.ORGANISATION, _S.VISITOR),
    Action.CHANGE_ORGANISATION: (_K.ORGANISATION, _S.OWNER),
    Action.FIND_PROJECT: (_K.PROJECT, _S.FINDER),
    Action.VIEW_FILES: (_K.PROJECT, _S.VISITOR),
    Action.PUBLISH_FILES: (_K.PROJECT, _S.VIEWER),
    Action.CHANGE_FILES: (_K.PROJECT, _S.EDITOR),
    Action.CREATE_MODEL: (_K.PROJECT, _S.EDITOR),
    Action.DESCRIBE_PROJECT: (_K.PROJECT, _S.EDITOR),  # description and tags
    Action.SHARE_PROJECT: (_K.PROJECT, _S.OWNER),  # visibility, collaborators, archiving
    Action.USE_ENVIRONMENT: (_K.ENVIRONMENT, _S.VISITOR),
    Action.CHANGE_ENVIRONMENT: (_K.ENVIRONMENT, _S.OWNER),
    Action.VIEW: (_K.MODEL, _S.VISITOR),
    Action.VIEW_LOGS: (_K.MODEL, _S.VIEWER),
    Action.INVOKE: (_K.MODEL, _S.VIEWER),
    Action.VIEW_SETTINGS: (_K.MODEL, _S.EDITOR),
    Action.CHANGE_SETTINGS: (_K.MODEL, _S.EDITOR),
    Action.PUBLISH_VERSION: (_K.MODEL, _S.PUBLISHER),
    Action.RUN_VERSION: (_K.MODEL, _S.EDITOR),
    Action.VIEW_AUDIT: (_K.MODEL, _S.EDITOR),
    Action.SEE_TOKENS: (_K.MODEL, _S.EDITOR),
    Action.CREATE_TOKEN: (_K.MODEL, _S.EDITOR),
    Action.REGENERATE_TOKEN: (_K.MODEL, _S.OWNER),
    Action.REVOKE_TOKEN: (_K.MODEL, _S.OWNER),
    Action.ARCHIVE_MODEL: (_K.MODEL, _S.OWNER),
    Action.SHARE_MODEL: (_K.MODEL, _S.OWNER),
}

SEEN_FROM: dict[Kind, Standing] = {
    Kind.PLATFORM: Standing.STRANGER,
    Kind.PERSON: Standing.VISITOR,
    Kind.ORGANISATION: Standing.VISITOR,
    Kind.PROJECT: Standing.FINDER,
    Kind.ENVIRONMENT: Standing.VISITOR,
    Kind.MODEL: Standing.VISITOR,
}
"""From which standing on somebody may know that a thing exists."""


_TAKES: dict[Kind, dict[Standing, str]] = {
    Kind.PLATFORM: {_S.OWNER: "an administrator"},
    Kind.PERSON: {_S.OWNER: "the person, or an administrator"},
    Kind.ORGANISATION: {_S.OWNER: "an owner of the organisation"},
    Kind.PROJECT: {
        _S.VISITOR: "a collaborator of the project",
        _S.VIEWER: "a collaborator of the project",
        _S.EDITOR: "a Contributor of the project",
        _S.OWNER: "the owner of the project",
    },
    Kind.ENVIRONMENT: {_S.OWNER: "the owner of the environment"},
    Kind.MODEL: {
        _S.VIEWER: "a collaborator of the model",
        _S.EDITOR: "an Editor of the model",
        _S.PUBLISHER: "an Owner of the model, or an Editor who is also a collaborator of its project",
        _S.OWNER: "an Owner of the model",
    },
}


def who_may(action: Action) -> str:
    """Who may do `action`, for a sentence.

    >>> who_may(Action.REVOKE_TOKEN)
    'an Owner of the model'
    """
    kind, least = TABLE[action]
    return _TAKES[kind].get(least, "anyone with an account")


class Verdict(StrEnum):
    ALLOWED = "allowed"
    REFUSED = "refused"  # 403
    HIDDEN = "hidden"  # 404: the thing's very existence is none of the caller's business


def judge(standing: Standing, action: Action) -> Verdict:
    """Whether somebody of this standing to a thing may do `action` to it.

    >>> judge(Standing.EDITOR, Action.PUBLISH_VERSION), judge(Standing.STRANGER, Action.RUN_VERSION)
    (<Verdict.REFUSED: 'refused'>, <Verdict.HIDDEN: 'hidden'>)
    """
    kind, least = TABLE[action]
    if standing >= least:
        return Verdict.ALLOWED
    return Verdict.REFUSED if standing >= SEEN_FROM[kind] else Verdict.HIDDEN
