"""This file is what a publish is asked to publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from modelway.errors import UnfitDirectory
from modelway.records import Json

MLFLOW_MODEL, MLFLOW_FUNCTION = "MLmodel", "predict"  # the file that makes a folder an MLflow model; what it offers


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to publish. `None` keeps what the model API has, or takes the platform's default for a new one."""

    directory: Path
    name: str
    file: str = ""  # by default the MLmodel of a directory that is an MLflow model
    function: str = ""  # by default predict, where the file is an MLmodel
    language: str | None = None  # "python" or "r"; None: as the file's name tells
    requirements: str | None = None  # the text of a requirements file
    description: str | None = None
    project: str | None = None  # by default the directory's name
    deploys: bool = True  # False: it is only built, to be started or tried as a canary later
    example: Json = None  # a whole request body: the version is ready only once it has answered it
    instances: int | None = None
    memory_bytes: int | None = None
    quota: str | None = None  # a resource quota's name or id
    workers: int | None = None
    recycle_after_calls: int | None = None  # a fresh worker takes over after about so many; 0: never
    preload: bool | None = None  # whether an instance imports the script once, for all its workers
    request_timeout_s: float | None = None
    routing_mode: str | None = None  # "basic" or "advanced"
    variables: Mapping[str, str] | None = None  # environment variables to set; others stay


def completed(plan: Plan) -> Plan:
    """The plan with its file and function. Raises UnfitDirectory when they are not given, and it is no MLflow model.

    >>> completed(Plan(directory=Path("x"), name="churn", file="churn/MLmodel")).function
    'predict'
    """
    file = plan.file or (MLFLOW_MODEL if (plan.directory / MLFLOW_MODEL).is_file() else "")
    if not file:
        raise UnfitDirectory(f"{plan.directory} is no MLflow model: name the file that holds the function.")
    function = plan.function or (MLFLOW_FUNCTION if PurePosixPath(file).name == MLFLOW_MODEL else "")
    if not function:
        raise UnfitDirectory(f"{file} is no MLflow model: name its function.")
    return replace(plan, file=file, function=function)
