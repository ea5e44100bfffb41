"""This package is the Python SDK of Modelway; the command line `modelway` is built on it.

from modelway import Client

with Client.from_configuration() as client:
    print(client.predict("iris", {"parameters": [5.1, 3.5, 1.4, 0.2]}).result)
"""

from modelway.audit import Entry, Finding, Query, Verification
from modelway.awaiting import Moved
from modelway.central import CentralKey, PendingModel
from modelway.client import Client
from modelway.errors import ModelwayError
from modelway.plan import Plan
from modelway.publishing import Published
from modelway.quotas import Quota
from modelway.records import LogKind, LogLine, Model, Platform, Prediction, Status, Version
from modelway.rollouts import Canary, Rollout, Side
from modelway.settings import Settings

__all__ = [
    "Canary",
    "CentralKey",
    "Client",
    "Entry",
    "Finding",
    "LogKind",
    "LogLine",
    "Model",
    "ModelwayError",
    "Moved",
    "PendingModel",
    "Plan",
    "Platform",
    "Prediction",
    "Published",
    "Query",
    "Quota",
    "Rollout",
    "Settings",
    "Side",
    "Status",
    "Verification",
    "Version",
]
