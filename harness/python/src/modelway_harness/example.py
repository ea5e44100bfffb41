"""This file is the example call: a worker answers the version's example input before it takes any other.

It takes the path of a real call: decode, bind, call, encode, in the same thread and within the same time. So it warms
the worker up, and a version that could not answer it never has traffic.
"""

from __future__ import annotations

from .binding import DoesNotFit
from .calls import Calls, Failed, TookTooLong, Unfit
from .decoding import NotReadable, decode
from .loader import LoadFailed


def answer_example(calls: Calls, body: str, *, within_s: float) -> None:
    """Answer `body`, a whole request body, and keep nothing of the result. Raises LoadFailed, and nothing else."""
    try:
        outcome = calls.run(calls.binding.fit(decode(body.encode())), within_s=within_s)
    except (NotReadable, DoesNotFit) as error:
        raise _failed(str(error)) from error
    except TookTooLong as late:
        raise _failed(f"it took longer than {within_s:g} s, the request timeout", late.stack) from late
    if isinstance(outcome, Unfit):
        raise _failed(outcome.message)
    if isinstance(outcome, Failed):
        raise _failed(outcome.message, outcome.trace)


def _failed(why: str, detail: str = "") -> LoadFailed:
    return LoadFailed(f"its example input failed: {' '.join(why.split())}", detail)
