"""This file is orders about what runs and who gets the calls: one request each, sent as often as it takes."""

from __future__ import annotations

from modelway.models import model_path, version_path
from modelway.records import Json, Model, Version
from modelway.transport import Transport


def set_production(transport: Transport, model_id: str, version_id: str, *, is_prod: bool) -> Version:
    path = f"{version_path(model_id, version_id)}/productionLabel"
    return transport.repeat("PUT", path, Version.read, body={"isProd": is_prod})


def restart(transport: Transport, model_id: str, version_id: str) -> Version:
    return transport.repeat("POST", f"{version_path(model_id, version_id)}/restart", Version.read, body={})


def roll_back(transport: Transport, model_id: str, label: str | None) -> Model:
    """`label` None: the platform picks prod where that leads anywhere, else latest."""
    body: Json = {} if label is None else {"label": label}
    return transport.repeat("POST", f"{model_path(model_id)}/rollback", Model.read, body=body)


def set_canary(transport: Transport, model_id: str, label: str, version_id: str, share: float) -> Model:
    body = {"versionId": version_id, "share": share}
    return transport.repeat("PUT", _canary_path(model_id, label), Model.read, body=body)


def complete_canary(transport: Transport, model_id: str, label: str) -> Model:
    return transport.repeat("POST", f"{_canary_path(model_id, label)}/complete", Model.read, body={})


def withdraw_canary(transport: Transport, model_id: str, label: str) -> Model:
    return transport.repeat("DELETE", _canary_path(model_id, label), Model.read)


def archive(transport: Transport, model_id: str) -> None:
    transport.repeat("DELETE", model_path(model_id), lambda _: None)


def restore(transport: Transport, model_id: str) -> Model:
    return transport.repeat("POST", f"{model_path(model_id)}/restore", Model.read, body={})


def _canary_path(model_id: str, label: str) -> str:
    return f"{model_path(model_id)}/canaries/{label}"
