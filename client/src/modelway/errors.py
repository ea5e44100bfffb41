"""This file is the one tree of errors of the SDK.

    ModelwayError
    ├── NotConfigured        no usable configuration was found
    ├── TemporaryFailure     trying again may help, after `retry_after_s`
    │   ├── Unreachable      no connection; the request was certainly not carried out
    │   ├── ConnectionLost   the connection broke on the way; the request may have been carried out
    │   └── Unavailable      the platform says that it cannot answer now
    ├── Unauthorized         the API key is not accepted
    ├── Forbidden            the caller is known and may not do this
    ├── NotFound             no such thing, or not visible to the caller
    ├── Ambiguous            a name stands for several things
    ├── Rejected             the request breaks a rule, or the state does not allow it
    ├── PlatformFailed       the platform made a mistake while answering
    ├── Misunderstood        the answer is not what this client understands
    ├── UnfitDirectory       the directory cannot be published as it is
    ├── PredictionFailed     the call was answered, but not with a result
    ├── VersionFailed        the version failed to build or to start
    └── GaveUp               the time that the caller allowed is over

The text of an error is one sentence for the person who caused it. It never holds a secret.
"""

from __future__ import annotations

from typing import Any


class ModelwayError(Exception):
    """The root. `reason` is one sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotConfigured(ModelwayError):
    pass


class TemporaryFailure(ModelwayError):
    """Trying again may help, not before `retry_after_s` seconds have passed."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Unreachable(TemporaryFailure):
    pass


class ConnectionLost(TemporaryFailure):
    pass


class Unavailable(TemporaryFailure):
    pass


class Unauthorized(ModelwayError):
    pass


class Forbidden(ModelwayError):
    pass


class NotFound(ModelwayError):
    pass


class Ambiguous(ModelwayError):
    pass


class Rejected(ModelwayError):
    pass


class PlatformFailed(ModelwayError):
    pass


class Misunderstood(ModelwayError):
    pass


class UnfitDirectory(ModelwayError):
    pass


class PredictionFailed(ModelwayError):
    """The call was answered with `status` and not with a result. `errors` is what went wrong."""

    def __init__(self, status: int, errors: tuple[str, ...], answer: Any) -> None:
        super().__init__(f"The call was answered with {status}: {'; '.join(errors)}{_request_of(answer)}")
        self.status = status
        self.errors = errors
        self.answer = answer


def _request_of(answer: Any) -> str:
    """What the call is found by, in either of the two shapes of an error."""
    held = answer if isinstance(answer, dict) else {}
    id = held.get("request_id") or held.get("requestId")
    return f" (request {id})" if id else ""


class VersionFailed(ModelwayError):
    """The version failed. `log_kind` names the log that says why, `log_tail` are that log's last lines."""

    def __init__(self, reason: str, *, log_kind: str, log_tail: tuple[str, ...]) -> None:
        super().__init__(reason)
        self.log_kind = log_kind
        self.log_tail = log_tail


class GaveUp(ModelwayError):
    pass
