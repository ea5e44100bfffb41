"""This file is the HTTP surface of one worker: `POST /model` and `GET /health`, as a Flask application.

What is checked, in this order, so that the first thing wrong is the one that is told: path and method (404,
405), the name of the server that was meant (421), size and type of the body (413, 415), whether the worker is
free (503), the body itself (400). Every answer that is not a success has the shape `{"errors": [...]}`.
"""

from __future__ import annotations

import json
import re
import secrets
import string
from collections.abc import Callable
from time import monotonic, time
from typing import Protocol, cast

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from . import __version__
from .binding import DoesNotFit
from .body import cut_off
from .calls import Answered, Busy, Calls, Failed, NoTimeLeft, TookTooLong, Unfit
from .config import Instance
from .decoding import NotReadable, decode
from .log import log
from .openapi import describe
from .traces import trace_of

_ID_LETTERS = string.ascii_uppercase + string.digits
_ID = re.compile(r"[A-Z0-9]{16}")
_AT_ONCE_BYTES = 16 * 1024  # the router sends on a body of this size when it has all of it
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")


class Shell(Protocol):
    """The process around the application, as far as a call that passed its deadline is concerned."""

    def refuse_newcomers(self) -> None:
        """Let no new connection in, and close the one of the calling thread's request after its answer."""

    def end(self) -> None:
        """End this process now; its supervisor replaces it. Does not return."""

    def end_soon(self) -> None:
        """End this process within seconds, also when `end` is never reached."""


class Refused(Exception):
    """A request that was not carried out, and what its caller is told."""

    def __init__(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


def create_app(instance: Instance, worker: int, calls: Calls, shell: Shell) -> Flask:
    """The WSGI application of worker number `worker`, whose script has been loaded into `calls`."""
    endpoint = Endpoint(instance, worker, calls, shell)
    app = Flask("modelway_harness", static_folder=None)
    app.debug = False  # whatever FLASK_DEBUG says: the environment is the user's
    app.config["MAX_CONTENT_LENGTH"] = instance.max_body_bytes
    app.url_map.merge_slashes = False
    app.before_request(endpoint.open)
    app.add_url_rule("/model", view_func=endpoint.model, methods=["POST"], provide_automatic_options=False)
    app.add_url_rule("/health", view_func=endpoint.health, methods=["GET"], provide_automatic_options=False)
    app.add_url_rule("/openapi.json", view_func=endpoint.openapi, methods=["GET"], provide_automatic_options=False)
    app.register_error_handler(Refused, endpoint.refused)
    app.register_error_handler(HTTPException, endpoint.http_error)
    app.register_error_handler(Exception, endpoint.own_error)
    app.after_request(_sign)
    return app


class Endpoint:
    """Parses, calls, answers."""

    def __init__(self, instance: Instance, worker: int, calls: Calls, shell: Shell) -> None:
        self._instance = instance
        self._worker = worker
        self._calls = calls
        self._shell = shell
        self._server = f"{instance.instance_id}.{worker}"
        self._release = {
            "harness_version": __version__,
            "model_version": instance.version_id,
            "model_version_number": instance.version_number,
        }

    def open(self) -> None:
        """Name and time the request; refuse one that was meant for another server."""
        g.started = monotonic()
        named = request.headers.get("X-Request-Id", "")
        g.request_id = named if _ID.fullmatch(named) else "".join(secrets.choice(_ID_LETTERS) for _ in range(16))
        meant = request.headers.get("X-Modelway-Server", self._server)
        if request.routing_exception is None and meant != self._server:
            raise Refused(421, f"this is {self._server}, not {meant}")

    def health(self) -> Response:
        """200 while this worker can work or works in time; nothing is served before the script is loaded."""
        if self._calls.is_overdue:
            return _answer(503, {"status": "wedged"})
        return _answer(200, {"status": "ok", "instance_id": self._instance.instance_id, "worker": self._worker})

    def openapi(self) -> Response:
        """What the function takes and gives."""
        told = self._instance
        function = self._calls.binding.function
        version = str(told.version_number)
        return _answer(200, describe(function, name=told.function, version=version, example=told.example_input))

    def model(self) -> Response:
        """One call of the function."""
        self._check_head()
        hold_s = self._hold_s()
        if self._calls.is_busy and hold_s <= 0:
            raise _busy()
        try:
            call = self._calls.binding.fit(decode(self._body()))
        except (NotReadable, DoesNotFit) as error:
            raise Refused(400, str(error)) from error
        try:
            outcome = self._calls.run(call, within_s=self._left_s(), hold_s=hold_s)
        except Busy:
            raise _busy() from None
        except NoTimeLeft:
            limit = f"{self._instance.request_timeout_s:g} s"
            raise Refused(504, f"no time was left to start the call, the request timeout being {limit}") from None
        except TookTooLong as late:
            return self._give_up(late)
        return self._answered(outcome)

    def _check_head(self) -> None:
        most = self._instance.max_body_bytes
        if (request.content_length or 0) > most:
            raise Refused(413, f"the body has {request.content_length} bytes; at most {most} are taken")
        kind = request.mimetype
        if kind and not (kind.endswith(("/json", "+json"))):
            raise Refused(415, f'the body must be JSON: send "Content-Type: application/json", not "{kind}"')

    def _body(self) -> bytes:
        """The whole body. A caller that sends it too slowly is refused when the call's time is over."""
        length = request.content_length
        if length is not None and length <= _AT_ONCE_BYTES:
            return request.get_data(cache=False)
        with cut_off(request.environ.get("gunicorn.socket"), self._left_s()) as cut:
            try:
                body = request.get_data(cache=False)
            except (HTTPException, OSError):
                if not cut.is_set():
                    raise
                body = b""
        if cut.is_set():
            limit = f"{self._instance.request_timeout_s:g} s, the request timeout"
            raise Refused(504, f"the body did not arrive within {limit}")
        return body

    def _left_s(self) -> float:
        """Seconds until the caller's deadline. The router knows it best: the call may have waited there.

        It tells what was left when it read the head, and the moment itself, which also counts the time in its queue.
        """
        spent_s = monotonic() - cast("float", g.started)
        remaining_ms = _milliseconds("X-Modelway-Remaining-Ms")
        left_s = (self._instance.request_timeout_s if remaining_ms is None else remaining_ms / 1000) - spent_s
        deadline_ms = _milliseconds("X-Modelway-Deadline-Ms")
        return left_s if deadline_ms is None else min(left_s, deadline_ms / 1000 - time())

    def _hold_s(self) -> float:
        """How long to wait for the running call before this one is refused.

        Around a reload two proxies may each believe the worker is free; one of the two calls then waits here for a
        moment instead of using up its retries elsewhere.
        """
        return (_milliseconds("X-Modelway-Hold-Ms") or 0) / 1000

    def _answered(self, outcome: Answered | Failed | Unfit) -> Response:
        if isinstance(outcome, Unfit):
            raise Refused(400, outcome.message)
        if isinstance(outcome, Failed):
            log("call_failed", outcome.trace or f"{outcome.message}\n", request_id=g.request_id)
            raise Refused(500, outcome.message)
        head = {
            "model_time_in_ms": round(outcome.took_ms),
            "timing": round(outcome.took_ms, 4),
            "request_id": g.request_id,
            "release": self._release,
        }
        return _respond(200, f'{json.dumps(head)[:-1]}, "result": {outcome.result}}}')

    def _give_up(self, late: TookTooLong) -> Response:
        """The answer to a call that runs past its deadline; this process ends once it has been sent."""
        after_s = monotonic() - cast("float", g.started)
        log("call_overdue", late.stack, request_id=g.request_id, after_s=f"{after_s:.3f}", worker=self._worker)
        self._shell.refuse_newcomers()
        self._shell.end_soon()
        limit = f"{self._instance.request_timeout_s:g} s, the request timeout"
        response = self._error(504, f"the call took longer than {limit}")
        response.call_on_close(self._shell.end)
        return response

    def refused(self, error: Refused) -> Response:
        response = self._error(error.status, error.reason)
        if error.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.retry_after_s)
        return response

    def http_error(self, error: HTTPException) -> Response:
        """What Flask itself refuses, in words of ours."""
        status = error.code or 500
        reasons: dict[int, Callable[[], str]] = {
            404: lambda: (
                f"there is nothing at {request.path}; a worker answers POST /model, GET /health and /openapi.json"
            ),
            405: lambda: f"{request.method} is not answered at {request.path}",
            413: lambda: f"the body has more than the {self._instance.max_body_bytes} bytes that are taken",
        }
        response = self._error(status, reasons[status]() if status in reasons else str(error.description))
        if status == 405:
            response.headers["Allow"] = "POST" if request.path == "/model" else "GET, HEAD"
        return response

    def own_error(self, error: Exception) -> Response:
        """A mistake of the harness, not of the function."""
        log("harness_failed", trace_of(error), request_id=g.request_id)
        return self._error(500, "the harness failed; the instance's log says why")

    def _error(self, status: int, reason: str) -> Response:
        return _answer(status, {"errors": [reason], "request_id": g.request_id, "release": self._release})


def _milliseconds(header: str) -> int | None:
    told = request.headers.get(header, "")
    return int(told) if _MILLISECONDS.fullmatch(told) else None


def _busy() -> Refused:
    return Refused(503, "this worker is busy", retry_after_s=1)


def _answer(status: int, body: dict[str, object]) -> Response:
    return _respond(status, json.dumps(body))


def _respond(status: int, text: str) -> Response:
    return Response(text, status=status, content_type="application/json")


def _sign(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    return response
