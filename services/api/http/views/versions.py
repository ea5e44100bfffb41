"""This file is how a version looks on the wire, and what is observed of it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.api.http.views.wire import ONE_DATA_PLANE, View, milliseconds
from services.core.lifecycle import Seen, Shown, Version, shown
from services.core.model import Model

See = Callable[[Version], Seen]


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
        "exampleInput": msgspec.Raw(each.example_input.encode()) if each.example_input else None,
        "logHttpRequestResponse": each.logs_requests,
        "monitoringEnabled": each.monitoring_enabled,
        "recordInvocation": each.records_invocations,
        "metadata": {
            "created": milliseconds(each.created_at),
            "createdBy": each.created_by,
            "summary": each.description,
        },
        "reason": each.reason,
        "deployment": deployment(state, each, see(each)),
    }


def status(state: Model, each: Version, seen: Seen) -> Shown:
    return shown(each, seen, wanted_instances=state.instances)


def deployment(state: Model, each: Version, seen: Seen) -> View:
    now = status(state, each, seen)
    wanted = state.instances if each.is_wanted else 0
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
