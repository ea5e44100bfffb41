"""This file is how the user's script is imported and its function found, or one sentence why not."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from .binding import why_uncallable
from .hooks import INIT, Hooks
from .traces import line_in, trace_of
from .wording import described, quoted, type_name

MLFLOW_MODEL = "MLmodel"  # the file that makes a folder an MLflow model


class LoadFailed(Exception):
    """The script or its function cannot be used: one sentence, and the traceback where there is one."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


def load(project_dir: Path, file: str, function: str, hooks: Hooks | None = None) -> Callable[..., object]:
    """The function named `function` in the script `file`, which runs, as a module, in the calling thread.

    The project's folder and the script's own come first on `sys.path`. The script's `init` has run when this returns;
    its `shutdown` is left to whoever keeps `hooks`. Of an MLflow model, `file` is its MLmodel; its one function is
    `predict`. Raises LoadFailed, and nothing else.
    """
    return begin(source(project_dir, file, function), hooks)


class Sourced(NamedTuple):
    """A script that has been imported, and whose `init` has not run."""

    script: Path
    file: str
    module: ModuleType | None  # an MLflow model is none
    function: Callable[..., object]
    name: str  # of the function


def source(project_dir: Path, file: str, function: str) -> Sourced:
    """The first half of `load`: the import. Raises LoadFailed, and nothing else."""
    script = _script(project_dir, file)
    _put_first_on_path(project_dir, script.parent)
    if script.name == MLFLOW_MODEL:
        from .mlflow.model import load_model  # the others need nothing of it

        return Sourced(script, file, None, load_model(script.parent, file), function)
    module = _imported(script, file, project_dir)
    return Sourced(script, file, module, _function(module, file, function), function)


def begin(sourced: Sourced, hooks: Hooks | None = None) -> Callable[..., object]:
    """The second half: `init`. Raises LoadFailed, and nothing else."""
    try:
        if sourced.module is not None:
            (hooks or Hooks()).begin(sourced.module, sourced.name)
    except BaseException as error:
        reason = f"{INIT}() of {sourced.file} failed: {_told(error, sourced.script, sourced.file)}"
        raise LoadFailed(reason, trace_of(error)) from error
    return sourced.function


def _script(project_dir: Path, file: str) -> Path:
    script = project_dir / file
    try:
        is_inside = script.resolve().is_relative_to(project_dir.resolve())
        if is_inside and script.is_file():
            return script
    except (OSError, ValueError, RuntimeError) as error:
        raise LoadFailed(f"the file {file} cannot be read: {described(error)}") from error
    if not is_inside:
        raise LoadFailed(f"the file {file} lies outside the project")
    others = sorted(path.name for path in project_dir.glob("*.py"))
    hint = f"; it has {quoted(others)}" if others else ""
    raise LoadFailed(f"there is no file {file} in the project{hint}")


def _put_first_on_path(*folders: Path) -> None:
    first = list(dict.fromkeys(str(folder) for folder in folders))
    sys.path[:] = first + [entry for entry in sys.path if entry not in first]


def _imported(script: Path, file: str, project_dir: Path) -> ModuleType:
    name = _module_name(script.stem)
    loader = SourceFileLoader(name, str(script))
    spec = importlib.util.spec_from_file_location(name, script, loader=loader)
    if spec is None:
        raise LoadFailed(f"{file} could not be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: pickles and dataclasses look their module up by name
    try:
        loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        raise LoadFailed(_reason(error, script, file, project_dir), trace_of(error)) from error
    return module


def _module_name(stem: str) -> str:
    """The script's own name, which pickles and its own modules use; another where that name is taken."""
    is_free = stem.isidentifier() and stem not in sys.modules and stem not in sys.stdlib_module_names
    return stem if is_free else f"modelway_script_{stem}"


def _reason(error: BaseException, script: Path, file: str, project_dir: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).is_file():
        found_in = _relative(Path(error.filename), project_dir)
        return f"{file} could not be imported: syntax error at {found_in}:{error.lineno}: {error.msg}"
    return f"{file} could not be imported: {_told(error, script, file)}"


def _told(error: BaseException, script: Path, file: str) -> str:
    line = line_in(script, error)
    place = f" ({file}:{line})" if line is not None else ""
    return f"{' '.join(described(error).split())}{place}"


def _relative(path: Path, folder: Path) -> Path:
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _function(module: ModuleType, file: str, name: str) -> Callable[..., object]:
    names = vars(module)
    if name not in names:
        defined = [
            found
            for found, value in names.items()
            if inspect.isfunction(value) and value.__module__ == module.__name__ and not found.startswith("_")
        ]
        hint = f"; it defines {quoted(defined)}" if defined else "; it defines no function"
        raise LoadFailed(f"there is no function '{name}' in {file}{hint}")
    function = names[name]
    if not callable(function):
        raise LoadFailed(f"'{name}' in {file} is of type {type_name(function)}, not a function")
    why_not = why_uncallable(name, function)
    if why_not:
        raise LoadFailed(why_not)
    found_callable: Callable[..., object] = function
    return found_callable
