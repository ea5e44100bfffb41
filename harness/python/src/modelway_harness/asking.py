"""This file is which request the function works on, for the function to ask: `from modelway_harness import request_id`.

A worker has one call at a time, so it is one name for the whole process: also for threads, tasks and executors that the
function uses. It imports nothing: the package is imported while the project's folder may still be first on the path.
"""

now = ""  # the id; "" between calls


def request_id() -> str:
    """The id of the call that runs, as its caller and the logs have it; "" while none does."""
    return now
