"""This package is the Python SDK of Modelway; the command line `modelway` is built on it.

from modelway import Client

with Client.from_configuration() as client:
    print(client.predict("iris", {"parameters": [5.1, 3.5, 1.4, 0.2]}).result)
"""

from modelway.audit import CallRecord, Entry, Finding, Query, Verification
from modelway.awaiting import Moved
from modelway.central import CentralKey, PendingModel
from modelway.client import Client
from modelway.commits import CommittedFile, Difference
from modelway.describing import Description, Parameter
from modelway.errors import ModelwayError
from modelway.people import Key, Organisation, Person
from modelway.plan import Plan
from modelway.project_people import Project
from modelway.publishing import Published
from modelway.quotas import Quota
from modelway.records import LogKind, LogLine, Model, Platform, Prediction, Status, Version
from modelway.rollouts import Canary, Rollout, Side
from modelway.settings import Settings
from modelway.sharing import Collaborator, Shared

__all__ = [
    "CallRecord",
    "Canary",
    "CentralKey",
    "Client",
    "Collaborator",
    "CommittedFile",
    "Description",
    "Difference",
    "Entry",
    "Finding",
    "Key",
    "LogKind",
    "LogLine",
    "Model",
    "ModelwayError",
    "Moved",
    "Organisation",
    "Parameter",
    "PendingModel",
    "Person",
    "Plan",
    "Platform",
    "Prediction",
    "Project",
    "Published",
    "Query",
    "Quota",
    "Rollout",
    "Settings",
    "Shared",
    "Side",
    "Status",
    "Verification",
    "Version",
]
