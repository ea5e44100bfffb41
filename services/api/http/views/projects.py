"""This file is how people, their projects and their environments look on the wire."""

from __future__ import annotations

from services.api.http.views.wire import View, milliseconds
from services.core.environment import Environment
from services.core.person import Person
from services.core.project import Project, Snapshot


def person(state: Person) -> View:
    return {"id": state.id, "userName": state.user_name, "email": state.email, "fullName": state.full_name}


def caller(state: Person) -> View:
    return {"id": state.id, "userName": state.user_name, "isAdmin": state.is_administrator}


def project(state: Project) -> View:
    return {
        "id": state.id,
        "name": state.name,
        "description": state.description,
        "visibility": state.visibility,
        "ownerId": state.owner_id,
        "ownerName": state.owner_name,
        "ownerUsername": state.owner_name,
        "created": milliseconds(state.created_at),
    }


def snapshot(state: Snapshot) -> View:
    return {
        "commitId": state.commit_id,
        "files": state.files,
        "sizeBytes": state.size_bytes,
        "message": state.message,
        "created": milliseconds(state.committed_at),
        "createdBy": state.committed_by,
    }


def environment(state: Environment) -> View:
    latest = state.latest
    return {
        "id": state.id,
        "name": state.name,
        "visibility": state.visibility,
        "created": milliseconds(state.created_at),
        "latestRevision": {
            "id": latest.id,
            "number": latest.number,
            "requirements": latest.requirements,
            "created": milliseconds(latest.created_at),
            "createdBy": latest.created_by,
        },
    }


def listed_environment(state: Environment) -> View:
    return {"id": state.id, "name": state.name, "visibility": state.visibility}


def default_environment(state: Environment) -> View:
    latest = state.latest
    return {
        "id": state.id,
        "name": state.name,
        "visibility": state.visibility,
        "latestRevisionDetails": {"id": latest.id, "number": latest.number, "dockerImage": None},
    }
