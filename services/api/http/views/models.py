"""This file is how a Model API looks on the wire."""

from __future__ import annotations

from services.api.http.views.settings import health_check, scaling, volume
from services.api.http.views.versions import See, deployment
from services.api.http.views.wire import ONE_DATA_PLANE, View, milliseconds
from services.core.model import LATEST, AccessToken, Model


def endpoint(public_url: str, model_id: str, label: str = LATEST) -> str:
    """Where the version is called that `label` leads to."""
    place = label if label == LATEST else f"labels/{label}"
    return f"{public_url.rstrip('/')}/models/{model_id}/{place}/model"


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
        "resourceQuotaId": settings.quota_id or None,
        "replicas": settings.instances,
        "scaling": scaling(settings.scaling),
        "workerCount": state.workers,
        "memoryBytes": settings.memory_bytes,
        "routingMode": settings.routing_mode.capitalize(),
        "repeatableCalls": settings.has_repeatable_calls,
        "strictNodeAntiAffinity": False,
        "overrideRequestTimeoutSecs": state.request_timeout_s,
        "requestTimeoutSeconds": state.request_timeout_s,
        "startDeadlineSeconds": settings.start_deadline_s,
        "healthCheck": health_check(settings.health_check),
        "volumes": [{**volume(each), "volumeType": "HostPath"} for each in settings.volumes],
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
        "labels": state.labels,
        "canaries": [
            {"label": label, "versionId": canary.version_id, "share": canary.share}
            for label, canary in sorted(state.canaries.items())
        ],
        "endpoints": {label: endpoint(public_url, state.id, label) for label in state.known_labels},
    }


def _active(state: Model, see: See) -> View | None:
    version = state.active
    if version is None:
        return None
    return {
        "id": version.id,
        "number": version.number,
        "dataPlaneId": ONE_DATA_PLANE,
        "deployment": deployment(state, version, see(version)),
    }


def token(state: AccessToken) -> View:
    return {
        "id": state.id,
        "name": state.name,
        "created": milliseconds(state.created_at),
        "createdBy": state.created_by,
        "lastGenerated": milliseconds(state.generated_at),
        "lastGeneratedBy": state.generated_by,
    }
