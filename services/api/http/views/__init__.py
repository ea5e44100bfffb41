"""This package is how state looks on the wire: plain values in the field names that existing clients read.

Instants are epoch milliseconds. No view holds a secret, nor its hash.
"""

from services.api.http.views.audit import audited, live
from services.api.http.views.models import endpoint, model, token
from services.api.http.views.platform import configured, found, log_lines, pending, quota, service
from services.api.http.views.projects import (
    caller,
    default_environment,
    environment,
    listed_environment,
    person,
    project,
    snapshot,
)
from services.api.http.views.settings import settings
from services.api.http.views.traffic import canary, rollout
from services.api.http.views.versions import See, status, version
from services.api.http.views.wire import View, milliseconds, model_at, version_at

__all__ = [
    "See",
    "View",
    "audited",
    "caller",
    "canary",
    "configured",
    "default_environment",
    "endpoint",
    "environment",
    "found",
    "listed_environment",
    "live",
    "log_lines",
    "milliseconds",
    "model",
    "model_at",
    "pending",
    "person",
    "project",
    "quota",
    "rollout",
    "service",
    "settings",
    "snapshot",
    "status",
    "token",
    "version",
    "version_at",
]
