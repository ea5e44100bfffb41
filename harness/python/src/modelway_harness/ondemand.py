"""This file is the Flask application for who asks for it: it is imported with the first request that is no call.

To import Flask takes longer than everything else at the start of a worker, and calls and health do without.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .config import Instance
from .endpoint import Endpoint

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_NEEDED = sys.stdlib_module_names | {
    "blinker",
    "click",
    "dotenv",
    "flask",
    "itsdangerous",
    "jinja2",
    "markupsafe",
    "werkzeug",
}
_PATH = tuple(sys.path)  # before the project's folders come first on it


def import_if_hidden(instance: Instance) -> None:
    """Import it now if a module of the project has a name that is needed for that: later it would be found instead."""
    folders = {instance.project_dir, (instance.project_dir / instance.file).parent}
    if not _NEEDED.isdisjoint(name for folder in folders for name in _names(folder)):
        from . import app  # noqa: F401


def _names(folder: Path) -> Iterator[str]:
    try:
        yield from (path.name.partition(".")[0] for path in folder.iterdir())
    except OSError:  # loading the script will say so
        return


class OnDemand:
    """The application of `endpoint`, which serves `function`."""

    def __init__(self, endpoint: Endpoint, function: Callable[..., object]) -> None:
        self._endpoint = endpoint
        self._function = function
        self._app: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]] | None = None

    def __call__(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if self._app is None:
            self._app = self._imported()
        return self._app(environment, start)

    def _imported(self) -> WSGIApplication:
        with _projects_last():
            from .app import create_app
        return create_app(self._endpoint, self._function)


@contextmanager
def _projects_last() -> Iterator[None]:
    sys.path[:0] = _PATH
    try:
        yield
    finally:
        del sys.path[: len(_PATH)]
