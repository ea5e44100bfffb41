"""This file is everything a worker answers that is no call: a Flask application.

`POST /model` and `GET /health` are answered before a request comes here; what they are is written down here all the
same, so that the list of routes is whole and another method is told which ones there are.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, NotFound

from .dialect import Dialect
from .endpoint import Endpoint, Refused, request_id_of
from .inference.app import add_inference, is_inference
from .inference.dialect import Inference
from .wire import Answer
from .wsgi import IS_OVERDUE


def create_app(endpoint: Endpoint, function: Callable[..., object]) -> Flask:
    """The WSGI application around `endpoint`, which serves `function`."""
    inference = Inference(endpoint.instance, function)
    surface = _Surface(endpoint, inference, function)
    app = Flask("modelway_harness", static_folder=None)
    app.debug = False  # whatever FLASK_DEBUG says: the environment is the user's
    app.config["MAX_CONTENT_LENGTH"] = endpoint.most_bytes
    app.url_map.merge_slashes = False
    app.before_request(surface.open)
    app.add_url_rule("/model", view_func=surface.model, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule("/health", view_func=surface.health, methods=["GET"], provide_automatic_options=False)
    app.add_url_rule("/openapi.json", view_func=surface.openapi, methods=["GET"], provide_automatic_options=False)
    add_inference(app, inference)
    app.register_error_handler(Refused, surface.refused)
    app.register_error_handler(HTTPException, surface.http_error)
    app.register_error_handler(Exception, surface.own_error)
    app.after_request(_sign)
    return app


class _Surface:
    """The endpoint as Flask's views and error handlers."""

    def __init__(self, endpoint: Endpoint, inference: Inference, function: Callable[..., object]) -> None:
        self._endpoint = endpoint
        self._inference = inference
        self._function = function

    def open(self) -> None:
        """Name the request; refuse one that was meant for another server."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        g.request_id = request_id_of(headers)
        if request.environ["PATH_INFO"].startswith("//"):
            raise NotFound  # whatever Werkzeug makes of it
        if request.routing_exception is None:
            self._endpoint.check_server(headers)

    def model(self) -> Response:
        raise LookupError("a call came to the application, which makes none")

    def health(self) -> Response:
        return _response(self._endpoint.health(is_overdue=request.environ[IS_OVERDUE]))

    def openapi(self) -> Response:
        return _response(self._endpoint.described(self._function, request.headers.get("X-Modelway-Base", "")))

    def refused(self, error: Refused) -> Response:
        return _response(self._endpoint.refused(error, self._dialect, g.request_id))

    def http_error(self, error: HTTPException) -> Response:
        """What Flask itself refuses, in words of ours."""
        status = error.code or 500
        reasons: dict[int, Callable[[], str]] = {
            404: lambda: (
                f"there is nothing at {request.path}; a worker answers POST /model, GET /health and /openapi.json, and "
                "the Open Inference Protocol under /v2"
            ),
            405: lambda: f"{request.method} is not answered at {request.path}",
            413: lambda: f"the body has more than the {self._endpoint.most_bytes} bytes that are taken",
        }
        reason = reasons[status]() if status in reasons else str(error.description)
        response = _response(self._dialect.error(status, reason, g.request_id))
        if status == 405:
            takes_calls = request.path == "/model" or self._inference.takes(request.path)
            response.headers["Allow"] = "POST" if takes_calls else "GET, HEAD"
        return response

    def own_error(self, error: Exception) -> Response:
        return _response(self._endpoint.own_failure(error, self._dialect, g.request_id))

    @property
    def _dialect(self) -> Dialect:
        """Whose errors the caller understands."""
        return self._inference if is_inference(request.path) else self._endpoint


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers, content_type=answer.kind)


def _sign(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    return response
