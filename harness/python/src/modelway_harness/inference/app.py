"""This file is what the Open Inference Protocol has beside calls, health and metadata, for the Flask application."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Flask, Response

from .dialect import Inference

PREFIX = "/v2"


def add_inference(app: Flask, inference: Inference) -> None:
    """Put its routes, all of them GET, into `app`, which answers `Refused` itself."""
    views = _Views(inference)
    routes: dict[str, Callable[..., Response]] = {
        "": views.server,
        "/health/live": views.live,
        "/health/ready": views.ready,
        "/models/<name>": views.model,
        "/models/<name>/versions/<version>": views.model,
        "/models/<name>/ready": views.model_ready,
        "/models/<name>/versions/<version>/ready": views.model_ready,
    }
    for path, view in routes.items():
        whole = PREFIX + path
        app.add_url_rule(whole, whole, view, methods=["GET"], provide_automatic_options=False)
    infer = "/models/<name>/infer", "/models/<name>/versions/<version>/infer"
    for path in infer:  # answered before a request comes here; written down so that another method is told
        whole = PREFIX + path
        app.add_url_rule(whole, whole, views.infer, methods=["POST"], provide_automatic_options=False)


def is_inference(path: str) -> bool:
    """Whether what is said about `path` has the protocol's shape."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class _Views:
    def __init__(self, inference: Inference) -> None:
        self._inference = inference

    def server(self) -> Response:
        return _told(self._inference.server())

    def live(self) -> Response:
        return _told({"live": True})

    def ready(self) -> Response:
        return _told({"ready": True})

    def model(self, name: str, version: str | None = None) -> Response:
        self._inference.check_model(name, version)
        return _told(self._inference.described(name))

    def model_ready(self, name: str, version: str | None = None) -> Response:
        self._inference.check_model(name, version)
        return _told({"name": name, "ready": True})

    def infer(self, name: str, version: str | None = None) -> Response:
        raise LookupError(f"a call of {name!r}, version {version!r}, came to the application, which makes none")


def _told(what: dict[str, Any]) -> Response:
    return Response(json.dumps(what), 200, content_type="application/json")
