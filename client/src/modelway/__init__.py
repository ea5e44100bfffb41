"""This package is the Python SDK of Modelway; the command line `modelway` is built on it.

from modelway import Client

with Client.from_configuration() as client:
    print(client.predict("iris", {"parameters": [5.1, 3.5, 1.4, 0.2]}).result)
"""

from modelway.client import Client
from modelway.errors import ModelwayError
from modelway.publishing import Plan, Published
from modelway.records import LogKind, LogLine, Model, Platform, Prediction, Status, Version

__all__ = [
    "Client",
    "LogKind",
    "LogLine",
    "Model",
    "ModelwayError",
    "Plan",
    "Platform",
    "Prediction",
    "Published",
    "Status",
    "Version",
]
