"""This file is the one tree of errors that may cross a module's border.

    ModelwayError
    ├── TemporaryError      trying again may help, after `retry_after_s`
    │   ├── Unavailable     an engine, the bus or the database does not answer
    │   ├── RevisionConflict another writer was first; load again and decide again
    │   ├── Overloaded      a bound was reached; the caller should slow down
    │   └── TooMany         this caller asked too often; others may go on
    └── PermanentError      trying the same again cannot help
        ├── Invalid         the input breaks a rule; says which field, what was wrong, what is allowed
        ├── Unauthenticated no valid credential was given
        ├── Forbidden       the caller is known and may not do this
        ├── NotFound        no such thing, or not visible to the caller
        ├── Refused         the input is fine, the state does not allow it
        ├── PreconditionFailed what was to be changed is not any more as the caller read it
        ├── TooLarge        more files or bytes than the limits allow
        ├── WorkloadRejected the runtime can never run this workload as described
        └── BuildFailed     the build ended without an artifact, because of what was to be built

The text of an error is one sentence for the person who caused it. It never holds a secret.
"""

from __future__ import annotations


class ModelwayError(Exception):
    """The root. `code` is a stable word for programs, `status` its HTTP status."""

    code = "error"
    status = 500

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TemporaryError(ModelwayError):
    """Trying again may help, not before `retry_after_s` seconds have passed."""

    code = "unavailable"
    status = 503

    def __init__(self, reason: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Unavailable(TemporaryError):
    pass


class RevisionConflict(TemporaryError):
    code = "conflict"


class Overloaded(TemporaryError):
    code = "overloaded"


class TooMany(TemporaryError):
    code = "too_many"
    status = 429


class PermanentError(ModelwayError):
    """Trying the same again cannot help."""

    code = "invalid"
    status = 400


class Invalid(PermanentError):
    """The input breaks a rule. `field` names the place, where there is one."""

    def __init__(self, reason: str, *, field: str | None = None) -> None:
        super().__init__(reason)
        self.field = field


class Unauthenticated(PermanentError):
    code = "unauthenticated"
    status = 401


class Forbidden(PermanentError):
    code = "forbidden"
    status = 403


class NotFound(PermanentError):
    code = "not_found"
    status = 404


class Refused(PermanentError):
    """The state does not allow it. 422, never 409: existing clients read 409 as "please log in again"."""

    code = "refused"
    status = 422


class PreconditionFailed(PermanentError):
    code = "precondition_failed"
    status = 412


class TooLarge(PermanentError):
    code = "too_large"
    status = 413


class WorkloadRejected(PermanentError):
    code = "workload_rejected"
    status = 422


class BuildFailed(PermanentError):
    code = "build_failed"
    status = 422
