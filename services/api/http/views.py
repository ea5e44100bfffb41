"""This file is how state looks on the wire: plain values in the field names that existing clients read.

Instants are epoch milliseconds. No view holds a secret, nor its hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.api.http.routes import API
from services.api.ports import ServiceSeen
from services.api.verify import Finding
from services.core.audit import Link
from services.core.environment import Environment
from services.core.events import what_happened
from services.core.lifecycle import Seen, Shown, Version, shown
from services.core.model import AccessToken, Model
from services.core.person import Person
from services.core.project import Project, Snapshot
from services.kit.read_log import PlacedLine

View = dict[str, Any]
See = Callable[[Version], Seen]

ONE_DATA_PLANE = "local"  # there is one so far

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HIDDEN = frozenset({"token_hash", "key_hash"})


def milliseconds(at: datetime) -> int:
    """
    >>> milliseconds(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC))
    2000
    """
    return (at - _EPOCH) // timedelta(milliseconds=1)


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


def endpoint(public_url: str, model_id: str) -> str:
    """Where the model is called."""
    return f"{public_url.rstrip('/')}/models/{model_id}/latest/model"


def model(state: Model, see: See, *, public_url: str) -> View:
    settings = state.settings
    return {
        "id": state.id,
        "name": state.name,
        "description": state.description,
        "projectId": state.project_id,
        "isArchived": state.is_archived,
        "isAsync": False,
        "environmentId": state.environment_id,
        "hardwareTierId": None,
        "resourceQuotaId": None,
        "replicas": settings.instances,
        "memoryBytes": settings.memory_bytes,
        "routingMode": "Basic",
        "strictNodeAntiAffinity": False,
        "overrideRequestTimeoutSecs": settings.request_timeout_s,
        "requestTimeoutSeconds": settings.request_timeout_s,
        "startDeadlineSeconds": settings.start_deadline_s,
        "healthCheck": {
            "initialDelaySeconds": settings.health_check.initial_delay_s,
            "periodSeconds": settings.health_check.period_s,
            "timeoutSeconds": settings.health_check.timeout_s,
            "failureThreshold": settings.health_check.failure_threshold,
        },
        "volumes": [],
        "isRestricted": state.is_restricted,
        "access": {
            "isPublic": not state.is_restricted,
            "accessTokens": [token(each) for each in state.tokens],
        },
        "collaborators": [{"collaborator": state.owner_id, "role": "Owner"}],
        "metadata": {
            "created": milliseconds(state.created_at),
            "createdBy": state.created_by,
            "lastModified": milliseconds(state.changed_at),
        },
        "activeVersion": _active(state, see),
        "endpoints": {"latest": endpoint(public_url, state.id)},
    }


def _active(state: Model, see: See) -> View | None:
    version = state.active
    if version is None:
        return None
    return {
        "id": version.id,
        "number": version.number,
        "dataPlaneId": ONE_DATA_PLANE,
        "deployment": _deployment(state, version, see(version)),
    }


def version(state: Model, each: Version, see: See) -> View:
    source = each.source
    return {
        "id": each.id,
        "number": each.number,
        "modelApiId": state.id,
        "projectId": source.project_id,
        "commitId": source.commit_id,
        "environmentId": source.environment_id,
        "environmentRevisionId": source.environment_revision_id,
        "dataPlaneId": ONE_DATA_PLANE,
        "source": {
            "type": "File",
            "file": source.file,
            "function": source.function,
            "excludeFiles": list(source.exclude_files),
        },
        "labels": sorted(label for label, labelled in state.labels.items() if labelled == each.id),
        "description": each.description,
        "logHttpRequestResponse": each.logs_requests,
        "monitoringEnabled": each.monitoring_enabled,
        "recordInvocation": each.records_invocations,
        "metadata": {
            "created": milliseconds(each.created_at),
            "createdBy": each.created_by,
            "summary": each.description,
        },
        "deployment": _deployment(state, each, see(each)),
    }


def status(state: Model, each: Version, seen: Seen) -> Shown:
    return shown(each, seen, wanted_instances=state.settings.instances)


def _deployment(state: Model, each: Version, seen: Seen) -> View:
    now = status(state, each, seen)
    wanted = state.settings.instances if each.is_wanted else 0
    return {
        "status": now.status,
        "isPending": now.is_pending,
        "reason": each.reason or _loss(now, wanted, seen),
        "instances": {"wanted": wanted, "ready": seen.ready},
        "lostInstances": seen.exits,
        "lastExit": seen.last_exit,
    }


def _loss(now: Shown, wanted: int, seen: Seen) -> str:
    """Why a version that should be whole is not, as far as its instances said."""
    is_lacking = now.is_pending and seen.ready < wanted
    return f"an instance was lost: {seen.last_exit}" if is_lacking and seen.last_exit else ""


def token(state: AccessToken) -> View:
    return {
        "id": state.id,
        "name": state.name,
        "created": milliseconds(state.created_at),
        "createdBy": state.created_by,
        "lastGenerated": milliseconds(state.generated_at),
        "lastGeneratedBy": state.generated_by,
    }


def log_lines(lines: Iterable[PlacedLine], tags: Mapping[str, str]) -> list[View]:
    """Lines, each with the place in its log as `timeNano`, so that a client can ask for what came after one."""
    shown_tags = [{"key": key, "value": value} for key, value in tags.items()]
    return [
        {
            "log": line.text,
            "streamType": line.stream,
            "tags": shown_tags,
            "timeNano": line.place_ns,
            "timestamp": milliseconds(line.at),
        }
        for line in lines
    ]


def audited(link: Link) -> View:
    """One entry of the history. Of environment variables only the names show: a value may be a secret."""
    entry = link.entry
    details: View = {key: value for key, value in msgspec.to_builtins(entry.event).items() if key not in _HIDDEN}
    if isinstance(settings := details.get("settings"), dict):
        settings["environment_variables"] = [name for name, _ in settings.get("environment_variables", ())]
    details.pop("type", None)
    return {
        "id": entry.id,
        "at": milliseconds(entry.at),
        "what": what_happened(entry.event),
        "actor": {
            "kind": entry.actor.kind,
            "id": entry.actor.id,
            "name": entry.actor.name,
            "address": entry.actor.address,
        },
        "aggregate": entry.aggregate,
        "aggregateId": entry.aggregate_id,
        "revision": entry.revision,
        "details": details,
        "hash": link.hash,
    }


def service(seen: ServiceSeen) -> View:
    return {
        "service": seen.service,
        "id": seen.service_id,
        "lastSeen": milliseconds(seen.last_seen_at),
        "startedAt": milliseconds(seen.started_at),
        "isAlive": seen.is_alive,
    }


def model_at(model_id: str) -> str:
    return f"{API}/modelApis/{model_id}"


def version_at(model_id: str, version_id: str) -> str:
    return f"{model_at(model_id)}/versions/{version_id}"


def found(finding: Finding) -> View:
    """One thing that a verification found wrong."""
    return {
        "aggregate": finding.aggregate,
        "aggregateId": finding.aggregate_id,
        "revision": finding.revision,
        "what": finding.what,
    }
