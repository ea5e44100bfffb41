"""This file is who is expected to be let in where, written down from the permission table of the contract.

It does not ask core/access, which says the same in other words: what one of them has wrong, the other shows. A route
stands under the row that is right for it; `~` is /api/modelServing/v1. Who is not let in gets 403; where they may not
even know of the thing, 404; and without a key, or with that of a disabled account, 401.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.services.api.http.cast import ROLES, WITH_ACCOUNT

API = "/api/modelServing/v1"

ALL = set(WITH_ACCOUNT)
ADMINISTRATOR = {"administrator"}

MODEL_VIEWERS = {"viewer", "consumer"}
MODEL_EDITORS = {"editor", "member"}  # who work on the model, and not on its project
MODEL_PUBLISHERS = {"colleague", "contributor"}  # on both
MODEL_OWNERS = {"coOwner", "modelOwner", "projectOwner"} | ADMINISTRATOR
FROM_PUBLISHER = MODEL_PUBLISHERS | MODEL_OWNERS
FROM_EDITOR = MODEL_EDITORS | FROM_PUBLISHER
FROM_VIEWER = MODEL_VIEWERS | FROM_EDITOR

PROJECT_OWNERS = {"projectOwner"} | ADMINISTRATOR
FROM_CONTRIBUTOR = {"contributor"} | PROJECT_OWNERS
FROM_CONSUMER = {"consumer", "colleague"} | FROM_CONTRIBUTOR
FROM_LAUNCHER = {"launcher"} | FROM_CONSUMER

WHO_SEES = {  # kind of thing -> its visibility -> who may know that it is there
    "model": {"public": ALL, "private": FROM_VIEWER},
    "project": {"Public": ALL, "Searchable": ALL, "Private": FROM_LAUNCHER},
    "environment": {"Global": ALL, "Private": {"keeper"} | ADMINISTRATOR},
    "person": {"": ALL},
    "organisation": {"": ALL},
    "platform": {"": ALL},
    "open": {"": set(ROLES)},
}


class Row(NamedTuple):
    kind: str
    let_in: dict[str, set[str]]  # visibility -> roles
    routes: str


def _always(kind: str, roles: set[str], routes: str) -> Row:
    return Row(kind, dict.fromkeys(WHO_SEES[kind], roles), routes)


ROWS = (
    # Model APIs: the rows of the permission table.
    Row(
        "model",
        {"public": ALL, "private": FROM_VIEWER},  # public: anyone with an account can search, find and view
        """
        GET    ~/modelApis/{model}
        GET    ~/modelApis/{model}/versions
        GET    ~/modelApis/{model}/versions/{version}
        GET    ~/modelApis/{model}/canaries
        GET    ~/modelApis/{model}/rollouts
        GET    ~/modelApis/{model}/collaborators
        POST   ~/modelApis/{model}/leave
        GET    /v1/models/{model}/versions
        GET    /models/{model}/versions/json
        GET    /models/{model}/versions/{version}/json
        GET    /v4/models/{model}/{version}/getModelDeploymentStatus
        GET    /v4/models/{model}/{version}/getBuildStatus
        """,
    ),
    _always(
        "model",
        FROM_VIEWER,  # logs, and calling it without being shown a token
        """
        GET    ~/modelApis/{model}/versions/{version}/buildLogs
        GET    ~/modelApis/{model}/versions/{version}/deploymentLogs
        GET    ~/modelApis/{model}/versions/{version}/instanceLogs
        GET    /v4/models/{model}/{version}/getBuildLogs
        GET    /v4/models/{model}/{version}/modelDeploymentLogs
        POST   ~/modelApis/{model}/invoke
        GET    ~/modelApis/{model}/openapi.json
        """,
    ),
    _always(
        "model",
        FROM_EDITOR,  # settings; start, stop, promote, roll back, restart; audit; seeing and creating tokens
        """
        GET    ~/modelApis/{model}/settings
        PUT    ~/modelApis/{model}/settings
        PUT    ~/modelApis/{model}
        PUT    ~/modelApis/{model}/versions/{version}/targetState
        PUT    ~/modelApis/{model}/versions/{version}/productionLabel
        POST   ~/modelApis/{model}/versions/{version}/restart
        POST   ~/modelApis/{model}/versions/{version}/cancelBuild
        POST   ~/modelApis/{model}/rollback
        PUT    ~/modelApis/{model}/canaries/{label}
        POST   ~/modelApis/{model}/canaries/{label}/complete
        DELETE ~/modelApis/{model}/canaries/{label}
        POST   /v4/models/{model}/{version}/startModelDeployment
        POST   /v4/models/{model}/{version}/stopModelDeployment
        GET    ~/modelApis/{model}/accessTokens
        POST   ~/modelApis/{model}/accessTokens
        GET    ~/modelApis/{model}/accessTokens/{token}/secret
        GET    ~/modelApis/{model}/calls/{requestId}
        GET    ~/audit
        GET    ~/audit/as-of
        """,
    ),
    _always(
        "model",
        FROM_PUBLISHER,  # an Editor only if also a collaborator of the project
        """
        POST   ~/modelApis/{model}/versions
        POST   /v1/models/{model}/versions
        """,
    ),
    _always(
        "model",
        MODEL_OWNERS,  # archive, regenerate and revoke tokens, invite, visibility, transfer ownership
        """
        DELETE ~/modelApis/{model}
        POST   ~/modelApis/{model}/restore
        POST   ~/modelApis/{model}/accessTokens/{token}/regenerate
        DELETE ~/modelApis/{model}/accessTokens/{token}
        PUT    ~/modelApis/{model}/visibility
        PUT    ~/modelApis/{model}/restriction
        PUT    ~/modelApis/{model}/owner
        PUT    ~/modelApis/{model}/collaborators
        DELETE ~/modelApis/{model}/collaborators/{collaborator}
        """,
    ),
    # Projects.
    Row(
        "project",
        {"Public": ALL, "Searchable": ALL, "Private": FROM_LAUNCHER},  # that it is there, and what it is
        """
        GET    ~/projects/{project}
        POST   ~/projects/{project}/leave
        GET    /v4/projects/{project}
        GET    /v4/projects/{project}/hardwareTiers
        GET    /v4/projects/{project}/useableEnvironments
        GET    /v4/gateway/projects/findProjectByOwnerAndName
        GET    /v4/modelManager/getModels
        GET    /v1/projects/{owner}/{project}/models
        GET    /projectTags/{tag}
        """,
    ),
    Row(
        "project",
        {"Public": ALL, "Searchable": FROM_CONSUMER, "Private": FROM_CONSUMER},  # its files, and who works on it
        """
        GET    ~/projects/{project}/collaborators
        GET    ~/projects/{project}/snapshots
        GET    ~/projects/{project}/snapshots/{commit}/files
        GET    ~/projects/{project}/snapshots/{commit}/files/{path:.+}
        GET    ~/projects/{project}/snapshotDiff
        GET    /api/projects/v1/projects/{project}/files/{commit}/{path:.+}/content
        GET    /v1/projects/{owner}/{projectName}/commits
        GET    /v1/projects/{owner}/{projectName}/files/{commit}/{path:.*}
        GET    /v1/projects/{owner}/{projectName}/blobs/{key}
        GET    /{owner}/{projectName}/collaborators
        POST   /v4/projects/{project}/fork
        """,
    ),
    _always(
        "project",
        FROM_CONTRIBUTOR,  # changing files, making models of them, saying what it is
        """
        POST   ~/projects/{project}/missingBlobs
        PUT    ~/projects/{project}/blobs/{sha256}
        POST   ~/projects/{project}/snapshots
        PUT    ~/projects/{project}
        PUT    /v1/projects/{owner}/{projectName}/{path:.+}
        POST   /v4/projects/{project}/tags
        DELETE /v4/projects/{project}/tags/{tag}
        POST   ~/modelApis
        POST   /v1/models
        POST   /v4/models/buildModelImage
        """,
    ),
    _always(
        "project",
        PROJECT_OWNERS,
        """
        PUT    ~/projects/{project}/collaborators
        DELETE ~/projects/{project}/collaborators/{collaborator}
        POST   ~/projects/{project}/archive
        POST   ~/projects/{project}/restore
        POST   /v4/projects/{project}/collaborators
        DELETE /v4/projects/{project}/collaborators/{collaborator}
        DELETE /v4/projects/{project}
        """,
    ),
    # Environments.
    Row(
        "environment",
        {"Global": ALL, "Private": {"keeper"} | ADMINISTRATOR},
        "GET    /api/environments/v1/environments/{environment}",
    ),
    Row(
        "environment",
        {"Global": ADMINISTRATOR, "Private": {"keeper"} | ADMINISTRATOR},
        """
        DELETE /api/environments/v1/environments/{environment}
        POST   /api/environments/beta/environments/{environment}/revisions
        """,
    ),
    # People and organisations.
    _always("person", ALL, "GET    ~/people/{person}"),
    _always("person", {"somebody"}, "POST   ~/people/{person}/apiKeys"),  # who has a key acts as them
    _always(
        "person",
        {"somebody"} | ADMINISTRATOR,
        """
        PUT    ~/people/{person}
        PUT    ~/people/{person}/password
        GET    ~/people/{person}/apiKeys
        DELETE ~/people/{person}/apiKeys/{key}
        GET    ~/people/{person}/sessions
        DELETE ~/people/{person}/sessions
        DELETE ~/people/{person}/sessions/{session}
        """,
    ),
    _always("organisation", ALL, "GET    ~/organisations/{organisation}"),
    _always(
        "organisation",
        {"head"} | ADMINISTRATOR,
        """
        PUT    ~/organisations/{organisation}/members/{person}
        DELETE ~/organisations/{organisation}/members/{person}
        """,
    ),
    # The platform. What is listed is only what the caller may see: test_visible.
    _always(
        "platform",
        ALL,
        """
        GET    ~/whoami
        GET    ~/session
        DELETE ~/session
        POST   ~/session/openIdConnect
        GET    ~/modelApis
        GET    ~/people
        GET    ~/organisations
        POST   ~/organisations
        GET    ~/resourceQuotas
        GET    /v1/environments
        GET    /v4/environments/defaultEnvironment
        POST   /api/environments/beta/environments
        GET    /v4/projects
        POST   /v4/projects
        POST   /project
        GET    /v4/gateway/projects
        GET    /v4/users
        GET    /v4/users/self
        """,
    ),
    _always(
        "platform",
        ADMINISTRATOR,
        """
        GET    ~/platform
        GET    ~/audit/verification
        POST   ~/people
        GET    ~/centralConfig
        GET    ~/centralConfig/pending
        PUT    ~/centralConfig/{key}
        DELETE ~/centralConfig/{key}
        POST   ~/resourceQuotas
        PUT    ~/resourceQuotas/{quota}
        """,
    ),
    _always(
        "open",
        set(ROLES),
        """
        GET    /version
        GET    /livez
        GET    /readyz
        GET    ~/docs
        GET    ~/openapi.json
        POST   ~/session
        GET    ~/session/methods
        GET    ~/session/openIdConnect
        GET    ~/session/openIdConnect/callback
        """,
    ),
)

EXPECTED: dict[tuple[str, str], Row] = {}
for _row in ROWS:
    for _line in filter(None, map(str.split, _row.routes.splitlines())):
        _route = (_line[0], _line[1].replace("~", API))
        assert _route not in EXPECTED, _route
        EXPECTED[_route] = _row
