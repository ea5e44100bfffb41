"""This file is an MLflow model as the builder sees it: documents to be read. Nothing of it is imported or unpickled.

What is certain to fail when the model is loaded fails here, in one sentence; what a pickle holds the harness finds out.
"""

from __future__ import annotations

import asyncio
import json
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from msgspec.structs import replace

from services.builder.build_log import BuildLog
from services.builder.requirements import locked_versions, parse_requirements
from services.core.errors import BuildFailed, Invalid, NotFound
from services.core.languages import MLFLOW_FUNCTION
from services.core.records import BuildOrder, FileEntry
from services.core.requirements import logical_lines
from services.kit.blobs import Blobs

FLAVOR = "python_function"
REQUIREMENTS, CONDA, PYTHON_ENV = BESIDE = ("requirements.txt", "conda.yaml", "python_env.yaml")
MAX_BYTES = 1 << 20  # of one document
_PACKAGES = ("mlflow", "mlflow-skinny")
_ADVICE = "give requirements when it is published"


@dataclass(frozen=True)
class Examined:
    """What a model's documents say. `requirements` None: they name none; `notes` are for the build log."""

    requirements: str | None
    python: str
    notes: tuple[str, ...] = ()


async def check_mlflow(
    blobs: Blobs, order: BuildOrder, files: Sequence[FileEntry], python: str, log: BuildLog
) -> BuildOrder:
    """The order, with the model's own requirements where the person gave none. `python` is what it will run on.

    Raises `BuildFailed` with one sentence when the model cannot be served.
    """
    if order.function != MLFLOW_FUNCTION:
        raise BuildFailed(
            f"{order.file}: an MLflow model has one function, {MLFLOW_FUNCTION!r}, and not {order.function!r}"
        )
    documents = await _documents(blobs, order, files)
    paths = frozenset(entry.path for entry in files)
    examined = await asyncio.to_thread(examine, order.file, documents, paths)
    log.say(f"MLflow model: {order.file} can be read")
    if examined.python and _minor(examined.python) != _minor(python):
        log.say(f"Note: the model was saved with Python {examined.python}, and it will run with {python}")
    if any(True for _ in logical_lines(order.requirements)):
        return order
    for note in examined.notes:
        log.say(f"Note: {note}")
    return replace(order, requirements=_checked(order.file, examined.requirements))


def check_lock(file: str, lock: str) -> None:
    """Raises `BuildFailed` when the environment will be without what loads the model."""
    if not any(one.startswith(f"{name}==") for one in locked_versions(lock) for name in _PACKAGES):
        raise BuildFailed(f"{file}: the requirements hold neither mlflow nor mlflow-skinny, one of which loads it")


def examine(file: str, documents: Mapping[str, str], paths: Collection[str]) -> Examined:
    """What the model at `file` is, by its documents (by their names); `paths` is all that the project has.

    Raises `BuildFailed` with the first fault.
    """
    folder = posixpath.dirname(file)
    model = _read(file, documents[posixpath.basename(file)])
    flavors = model.get("flavors")
    flavor = flavors.get(FLAVOR) if isinstance(flavors, dict) else None
    if not isinstance(flavors, dict) or not isinstance(flavor, dict):
        others = f"; it has {', '.join(sorted(flavors))}" if isinstance(flavors, dict) and flavors else ""
        raise BuildFailed(f"{file}: the model has no {FLAVOR} flavor, by which it could be called{others}")
    if not isinstance(flavor.get("loader_module"), str):
        raise BuildFailed(f"{file}: its {FLAVOR} flavor names no loader_module")
    for what, path in _parts(flavor):
        _check_path(file, what, path, folder, paths)
    _check_signature(file, model.get("signature"))
    environment = _read(posixpath.join(folder, PYTHON_ENV), documents.get(PYTHON_ENV, ""))
    python = environment.get("python") or flavor.get("python_version")
    requirements, notes = _requirements(folder, documents)
    return Examined(requirements, python if isinstance(python, str) else "", notes)


def _read(file: str, text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)  # the C loader crashes on what is nested deeply
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise BuildFailed(f"{file}: it cannot be read as YAML: line {line}: {error.problem}") from error
    except RecursionError as error:
        raise BuildFailed(f"{file}: it cannot be read as YAML: it is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # a NUL; 2001-02-31
        raise BuildFailed(f"{file}: it cannot be read as YAML: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise BuildFailed(f"{file}: it must hold keys with values")
    return found or {}


def _parts(flavor: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The paths that the model is loaded from, with the names of the keys that hold them."""
    for key in ("data", "code", "python_model"):
        if flavor.get(key) is not None:
            yield key, flavor[key]
    if isinstance(code := flavor.get("model_code_path"), str):
        yield "model_code_path", posixpath.basename(code.replace("\\", "/"))  # the rest was true on another machine
    artifacts = flavor.get("artifacts")
    for name, artifact in artifacts.items() if isinstance(artifacts, dict) else ():
        if isinstance(artifact, dict):
            yield f"artifacts.{name}", artifact.get("path")


def _check_path(file: str, what: str, path: Any, folder: str, paths: Collection[str]) -> None:
    if not isinstance(path, str):
        raise BuildFailed(f"{file}: {what} must be a path")
    whole = posixpath.normpath(posixpath.join(folder, path.replace("\\", "/")))
    if posixpath.isabs(whole) or whole == ".." or whole.startswith("../") or "\0" in path:
        raise BuildFailed(f"{file}: {what} leads out of the project: {path[:200]!r}")
    if whole != "." and whole not in paths and not any(each.startswith(f"{whole}/") for each in paths):
        raise BuildFailed(f"{file}: {what} is {path[:200]!r}, which is not in the project, or is left out of it")


def _check_signature(file: str, signature: Any) -> None:
    for part, text in signature.items() if isinstance(signature, dict) else ():
        try:
            found = json.loads(text) if isinstance(text, str) else []
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, list):
            raise BuildFailed(f"{file}: the {part} of its signature cannot be read")


def _requirements(folder: str, documents: Mapping[str, str]) -> tuple[str | None, tuple[str, ...]]:
    if (text := documents.get(REQUIREMENTS)) is not None:
        lines = [line for line in text.splitlines() if line.strip()]
        kept = [line for line in lines if not line.lstrip().startswith(("-c ", "--constraint"))]
        where = posixpath.join(folder, REQUIREMENTS)
        left_out = (f"the constraints that {where} refers to are left out",) if len(kept) < len(lines) else ()
        return "\n".join(kept) + "\n", (f"the requirements are those of {where}", *left_out)
    where = posixpath.join(folder, CONDA)
    listed = _read(where, documents.get(CONDA, "")).get("dependencies")
    dependencies = listed if isinstance(listed, list) else []
    pip = [one for entry in dependencies if isinstance(entry, dict) for one in entry.get("pip") or [] if one]
    if not pip:
        return None, ()
    notes = [f"the requirements are those that {where} has for pip"]
    others = [entry for entry in dependencies if isinstance(entry, str) and not entry.startswith(("python", "pip"))]
    if others:
        notes.append(f"packages of conda's are not installed: {', '.join(others)[:400]}; {_ADVICE} if they are needed")
    return "".join(f"{one}\n" for one in pip), tuple(notes)


def _checked(file: str, requirements: str | None) -> str:
    if not requirements or not requirements.strip():
        raise BuildFailed(
            f"{file}: the model names no packages, in {REQUIREMENTS} or for pip in {CONDA} beside it; {_ADVICE}"
        )
    try:
        parse_requirements(requirements)
    except Invalid as error:
        raise BuildFailed(f"{file}: of the model's own {error.reason}; {_ADVICE} in its place") from error
    return requirements


async def _documents(blobs: Blobs, order: BuildOrder, files: Sequence[FileEntry]) -> dict[str, str]:
    folder = posixpath.dirname(order.file)
    wanted = {posixpath.join(folder, name): name for name in (posixpath.basename(order.file), *BESIDE)}
    found = {}
    for entry in files:
        if entry.path not in wanted:
            continue
        if entry.size_bytes > MAX_BYTES:
            raise BuildFailed(f"{entry.path}: larger than {MAX_BYTES >> 20} MB, which is too much to be read")
        try:
            found[wanted[entry.path]] = (await blobs.get(entry.digest)).decode("utf-8-sig")
        except NotFound as error:
            raise BuildFailed(f"the content of {entry.path!r} is not in the store") from error
        except UnicodeDecodeError as error:
            raise BuildFailed(f"{entry.path}: it is not UTF-8") from error
    return found


def _minor(python: str) -> list[str]:
    return python.split(".")[:2]
