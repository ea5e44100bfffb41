"""This file is calling a model API."""

from __future__ import annotations

import json
from typing import Any

import httpx

from modelway.errors import PredictionFailed
from modelway.following import endpoint_of
from modelway.models import default_token, model_path
from modelway.records import Json, Model, Prediction
from modelway.transport import Transport, json_of, said_in, understand

_BEYOND_REQUEST_TIMEOUT_S = 15.0


def predict(transport: Transport, model: Model, body: bytes | Json, label: str = "latest") -> Prediction:
    """The answer to one call. `body` is all of the request: bytes as they are, or a value to write as JSON.

    Called once, never again: the function may have effects. Raises PredictionFailed on any answer but 2xx.
    """
    token = default_token(transport, model)
    auth = None if token is None else httpx.BasicAuth(token, token)
    return _called(transport, endpoint_of(transport, model, label), model, body, auth=auth)


def invoke(transport: Transport, model: Model, body: bytes | Json, label: str = "latest") -> Prediction:
    """Like `predict`, through the platform's API: for collaborators, who need no access token for it."""
    url = f"{transport.configuration.url}{model_path(model.id)}/invoke"
    key = {"X-Domino-Api-Key": transport.configuration.api_key}
    return _called(transport, url, model, body, params={"label": label}, headers=key)


def _called(transport: Transport, url: str, model: Model, body: bytes | Json, **options: Any) -> Prediction:
    response = transport.send(
        "POST",
        url,
        content=body if isinstance(body, bytes) else json.dumps(body).encode(),
        # The platform ends a call that is too long; the client only outlasts it.
        timeout=httpx.Timeout(model.request_timeout_s + _BEYOND_REQUEST_TIMEOUT_S, connect=5.0),
        **{**options, "headers": {"Content-Type": "application/json", **options.get("headers", {})}},
    )
    if not response.is_success:
        raise PredictionFailed(response.status_code, said_in(response), json_of(response))
    return understand(Prediction.read, json_of(response))
