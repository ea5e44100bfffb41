"""This file is how models, versions and files look to the programs that know the older routes."""

from __future__ import annotations

from services.api.http.views import See, View, milliseconds, status
from services.api.http.views.wire import ONE_DATA_PLANE
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.person import Person
from services.core.project import Project, Snapshot
from services.core.quota import Quota
from services.core.records import BuildPhase, FileEntry

_BUILD = {
    BuildPhase.PENDING: "preparing",
    BuildPhase.BUILDING: "building",
    BuildPhase.COMPLETE: "complete",
    BuildPhase.FAILED: "failed",
}


def managed_model(state: Model, project: Project, owner: Person, see: See) -> View:
    """A model as operators' scripts list it. Without a version, all that is said of its active one is null."""
    active = state.active
    return {
        "id": state.id,
        "name": state.name,
        "description": state.description,
        "activeModelVersionId": None if active is None else active.id,
        "activeVersionNumber": None if active is None else active.number,
        "activeVersionStatus": None if active is None else status(state, active, see(active)).status,
        "activeVersionDataPlaneId": None if active is None else ONE_DATA_PLANE,
        "lastModified": milliseconds(state.changed_at),
        "projectId": project.id,
        "projectName": project.name,
        "projectOwnerUsername": project.owner_name,
        "owners": [{"id": owner.id, "name": owner.user_name, "fullName": owner.full_name or owner.user_name}],
        "isAsync": False,
    }


def managed_version(state: Model, each: Version, see: See) -> View:
    now = status(state, each, see(each))
    return {
        "id": each.id,
        "number": each.number,
        "modelId": state.id,
        "projectId": each.source.project_id,
        "commitId": each.source.commit_id,
        "file": each.source.file,
        "function": each.source.function,
        "summary": each.description,
        "created": milliseconds(each.created_at),
        "creator": {"name": each.created_by},
        "deploymentStatus": {"name": now.status, "isPending": now.is_pending},
    }


def deployed(state: Model, each: Version, see: See) -> View:
    now = status(state, each, see(each))
    return {"modelId": state.id, "modelVersionId": each.id, "status": now.status, "isPending": now.is_pending}


def built(state: Model, each: Version) -> View:
    return {"modelId": state.id, "modelVersionId": each.id, "status": _BUILD[each.build]}


def file(entry: FileEntry, snapshot: Snapshot) -> View:
    """A file of a commit. `key` names its content."""
    return {
        "path": entry.path,
        "key": entry.digest,
        "size": entry.size_bytes,
        "lastModified": milliseconds(snapshot.committed_at),
    }


def hardware_tier(state: Quota) -> View:
    """A resource quota, which is what a hardware tier is here."""
    return {
        "hardwareTier": {
            "id": state.id,
            "name": state.name,
            "isDefault": state.is_default,
            "cores": state.cpu_requested,
            "coresLimit": state.cpu_limit,
            "memoryInGiB": state.memory_requested_bytes / 1024**3,
            "memoryLimitInGiB": state.memory_limit_bytes / 1024**3,
        }
    }
