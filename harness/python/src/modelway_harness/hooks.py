"""This file is the two functions that a script may have beside the one that is served: `init` and `shutdown`.

`init()` runs once in every worker, after the import and before the worker is healthy; `shutdown()` when the worker ends
in good order. Both run in the thread that imports the script and answers its calls, and take no argument: a function of
that name that needs one, or was imported from elsewhere, is none of ours.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from .traces import trace_of

INIT, SHUTDOWN = "init", "shutdown"


class Hooks:
    """The hooks of one script. `run` awaits what an `async def` gives, in the loop that calls are awaited in.

    Without it, each is awaited in a loop of its own.
    """

    def __init__(self, run: Callable[[Coroutine[Any, Any, Any]], Any] | None = None) -> None:
        self._run = run
        self._shutdown: Callable[[], object] | None = None

    def begin(self, module: ModuleType, served: str) -> None:
        """Run the module's `init`, and remember its `shutdown`. Raises whatever `init` raises.

        `served` is the name of the function that is served, which is no hook whatever it is called.
        """
        init = _hook(module, INIT, served)
        if init is not None:
            self._called(init)
        self._shutdown = _hook(module, SHUTDOWN, served)

    @property
    def has_end(self) -> bool:
        """Whether `end` has anything to do."""
        return self._shutdown is not None

    def end(self) -> str:
        """Run `shutdown`, the first time this is called; the traceback where it fails, else "". Raises nothing.

        It may take as long as it likes: whoever calls this waits no longer than there is time.
        """
        shutdown, self._shutdown = self._shutdown, None
        if shutdown is None:
            return ""
        try:
            self._called(shutdown)
        except BaseException as error:  # the worker is ending: nothing may keep it from that
            return trace_of(error)
        return ""

    def _called(self, hook: Callable[[], object]) -> None:
        result = hook()
        if inspect.iscoroutine(result):
            (self._run or _run)(result)


def _run(coroutine: Coroutine[Any, Any, Any]) -> None:
    import asyncio  # takes 20 ms, which scripts without coroutines need not pay

    asyncio.run(coroutine)


def _hook(module: ModuleType, name: str, served: str) -> Callable[[], object] | None:
    found = vars(module).get(name)
    if name == served or not inspect.isfunction(found) or found.__module__ != module.__name__:
        return None
    needs = [p for p in inspect.signature(found).parameters.values() if p.default is p.empty and p.kind not in _REST]
    return None if needs else found


_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
