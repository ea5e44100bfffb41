"""This file is what a worker decides about a request, and its words. It reads no bytes and starts nothing.

What is checked, in this order, so that the first thing wrong is the one that is told: path and method (404, 405), the
name of the server that was meant (421), size and type of the body (413, 415), whether the worker is free (503), the
body itself (400). Every answer that is not a success has the shape `{"errors": [...]}`.
"""

from __future__ import annotations

import json
import os
import re
from base64 import b32encode
from collections.abc import Callable, Mapping
from time import time

from . import __version__
from .binding import Binding, DoesNotFit
from .body import CODINGS, coding_of, unpacked
from .calls import Answered, Failed, Unfit
from .config import Instance
from .decoding import NotReadable, decode
from .dialect import Asked, Dialect
from .encoding import encode
from .flow import flow_for
from .log import log
from .traces import trace_of
from .wire import Answer, Head

_ID = re.compile(r"[A-Z0-9]{16}")
_BASE = re.compile(r"/models/[0-9a-f]{24}/(latest|labels/[a-z0-9-]{1,40})")


class Refused(Exception):
    """A request that was not carried out, and what its caller is told."""

    def __init__(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s


class Endpoint:
    """`GET /health` of worker number `worker`, what all calls to it have to keep to, and `POST /model` as a dialect."""

    def __init__(self, instance: Instance, worker: int) -> None:
        self.instance = instance
        self.most_bytes = instance.max_body_bytes
        self._timeout_s = instance.request_timeout_s
        self.worker = worker
        self._server = f"{instance.instance_id}.{worker}"
        self._release = {
            "harness_version": __version__,
            "model_version": instance.version_id,
            "model_version_number": instance.version_number,
        }
        self._release_text = json.dumps(self._release)
        self._healthy = Answer(200, json.dumps({"status": "ok", "instance_id": instance.instance_id, "worker": worker}))

    def health(self, *, is_overdue: bool) -> Answer:
        """200 while this worker can work or works in time; nothing is served before the script is loaded."""
        return Answer(503, json.dumps({"status": "wedged"})) if is_overdue else self._healthy

    def described(self, function: Callable[..., object], base: str = "") -> Answer:
        """What the function takes and gives. `base` is the address under which the router has it."""
        from .openapi import HERE, describe  # few ask for it

        told = self.instance
        version, url = str(told.version_number), base if _BASE.fullmatch(base) else HERE
        document = describe(function, name=told.function, version=version, example=told.example_input, url=url)
        return Answer(200, json.dumps(document))

    def check_server(self, headers: Mapping[str, str]) -> None:
        """Refuse what was meant for another server."""
        meant = headers.get("x-modelway-server", self._server)
        if meant != self._server:
            raise Refused(421, f"this is {self._server}, not {meant}")

    def check_body(self, head: Head) -> None:
        """Refuse a body that its head says is too large, or packed in a way that is not taken."""
        if (head.length or 0) > self.most_bytes:
            raise Refused(413, f"the body has {head.length} bytes; at most {self.most_bytes} are taken")
        coding = head.headers.get("content-encoding")
        if coding is not None and coding_of(coding) not in CODINGS:
            raise Refused(415, f'the body must be plain or gzip, not "Content-Encoding: {coding}"')

    def plain(self, head: Head, body: bytes) -> bytes:
        """The body, unpacked where it came packed."""
        coding = head.headers.get("content-encoding")
        if coding is None:
            return body
        try:
            body = unpacked(body, coding_of(coding), most=self.most_bytes + 1)
        except NotReadable as error:
            raise Refused(400, str(error)) from error
        self.check_size(len(body))
        return body

    def takes(self, path: str) -> bool:
        return path == "/model"

    def check(self, head: Head) -> None:
        """Refuse a body that is no JSON by what its head says of it."""
        kind = head.headers.get("content-type", "application/json")
        if kind != "application/json":
            kind = kind.partition(";")[0].strip().lower()
            if kind and not kind.endswith(("/json", "+json")):
                raise Refused(415, f'the body must be JSON: send "Content-Type: application/json", not "{kind}"')

    def check_size(self, size: int) -> None:
        """Refuse a body that turned out too large on the way."""
        if size > self.most_bytes:
            raise Refused(413, f"the body has more than the {self.most_bytes} bytes that are taken")

    def left_s(self, head: Head) -> float:
        """Seconds until the caller's deadline. The router knows it best: the call may have waited there.

        It tells what was left when it read the head, and the moment itself, which also counts the time in its queue.
        """
        remaining_ms = head.milliseconds("x-modelway-remaining-ms")
        left_s = self._timeout_s if remaining_ms is None else remaining_ms / 1000
        deadline_ms = head.milliseconds("x-modelway-deadline-ms")
        return left_s if deadline_ms is None else min(left_s, deadline_ms / 1000 - time())

    def hold_s(self, head: Head) -> float:
        """How long to wait for the running call before this one is refused.

        Around a reload two proxies may each believe the worker is free; one of the two calls then waits here for a
        moment instead of using up its retries elsewhere.
        """
        return (head.milliseconds("x-modelway-hold-ms") or 0) / 1000

    def asked(self, head: Head, body: bytes, binding: Binding) -> Asked:
        """The call that a body asks for."""
        try:
            call = binding.fit(decode(body))
        except (NotReadable, DoesNotFit) as error:
            raise Refused(400, str(error)) from error
        accept = head.headers.get("accept", "*/*")
        return Asked(call, encode, None if accept == "*/*" or head.is_old else flow_for(accept))

    def failed(self, outcome: Failed | Unfit, dialect: Dialect, request_id: str) -> Answer:
        """What is said in `dialect` about a call whose function did not return."""
        if isinstance(outcome, Unfit):
            return dialect.error(400, outcome.message, request_id)
        log("call_failed", outcome.trace or f"{outcome.message}\n", request_id=request_id)
        return dialect.error(500, outcome.message, request_id)

    def answered(self, _asked: Asked, outcome: Answered, request_id: str) -> Answer:
        return Answer(200, f'{{{self._about(outcome, request_id)}, "result": {outcome.result}}}')

    def ended(self, outcome: Answered, request_id: str) -> str:
        """The last piece of a stream: all but the result."""
        return f"{{{self._about(outcome, request_id)}}}"

    def _about(self, outcome: Answered, request_id: str) -> str:
        took_ms = outcome.took_ms
        return (
            f'"model_time_in_ms": {round(took_ms)}, "timing": {round(took_ms, 4)}, "request_id": "{request_id}", '
            f'"release": {self._release_text}'
        )

    def refused(self, error: Refused, dialect: Dialect, request_id: str) -> Answer:
        answer = dialect.error(error.status, error.reason, request_id)
        return (
            answer
            if error.retry_after_s is None
            else answer._replace(headers=(("Retry-After", str(error.retry_after_s)),))
        )

    def own_failure(self, error: Exception, dialect: Dialect, request_id: str) -> Answer:
        """What is said after a mistake of the harness, not of the function."""
        log("harness_failed", trace_of(error), request_id=request_id)
        return dialect.error(500, "the harness failed; the instance's log says why", request_id)

    def error(self, status: int, reason: str, request_id: str) -> Answer:
        return Answer(status, json.dumps({"errors": [reason], "request_id": request_id, "release": self._release}))

    def no_time_left(self) -> Refused:
        return Refused(504, f"no time was left to start the call, the request timeout being {self._timeout_s:g} s")

    def too_slow(self) -> Refused:
        return Refused(504, f"the body did not arrive within {self._timeout_s:g} s, the request timeout")

    def too_long(self) -> Refused:
        return Refused(504, f"the call took longer than {self._timeout_s:g} s, the request timeout")


def busy(why: str = "this worker is busy") -> Refused:
    """It did not start here, and may be sent elsewhere."""
    return Refused(503, why, retry_after_s=1)


def request_id_of(headers: Mapping[str, str]) -> str:
    """The request's own id, or a new one: 16 letters and digits."""
    named = headers.get("x-request-id", "")
    return named if _ID.fullmatch(named) else b32encode(os.urandom(10)).decode()
