"""What the builder says about MLflow models, of small documents, and what it installs for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.builder.backends.bundle import BundleBackend
from services.builder.basis import describe_interpreter, read_harness
from services.builder.mlflow_model import Examined, check_lock, check_mlflow, examine
from services.builder.requirements import locked_versions
from services.builder.snapshot import read_project
from services.core.errors import BuildFailed
from services.kit.blobs import Blobs
from tests.services.builder.parts import Lines, make_backend, make_order, make_wheel

GOOD = """
flavors:
  python_function:
    data: model.pkl
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    python_version: 3.11.7
  sklearn:
    pickled_model: model.pkl
signature:
  inputs: '[{"type": "double", "name": "x"}]'
"""
FLAVOR = "flavors:\n  python_function:\n    loader_module: a\n"
CONDA = "dependencies:\n- python=3.9.1\n- pip<=23\n- libfoo=2\n- pip:\n  - mlflow==2.0\n  - six\n"


def told(text: str, *paths: str, file: str = "MLmodel", **documents: str) -> Examined:
    beside = {name.replace("_txt", ".txt").replace("_yaml", ".yaml"): held for name, held in documents.items()}
    return examine(file, {"MLmodel": text, **beside}, frozenset(paths))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 'b", "MLmodel: it cannot be read as YAML: line 1: found unexpected end of stream"),
        ("[" * 100_000, "MLmodel: it cannot be read as YAML: it is nested too deeply"),
        ("a: 2001-02-31", "MLmodel: it cannot be read as YAML: day is out of range"),
        ("a: !!python/object:os.system x", "MLmodel: it cannot be read as YAML: line 1: could not determine"),
        ("- a", "MLmodel: it must hold keys with values"),
        ("", "MLmodel: the model has no python_function flavor, by which it could be called"),
        (
            "flavors:\n  spark:\n    a: b\n",
            "the model has no python_function flavor, by which it could be called; it has",
        ),
        ("flavors:\n  python_function:\n    data: x\n", "its python_function flavor names no loader_module"),
        (FLAVOR + "    data: model.pkl\n", "data is 'model.pkl', which is not in the project, or is left out of it"),
        (FLAVOR + "    data: ../secret\n", "data leads out of the project: '../secret'"),
        (FLAVOR + "    data: /etc/passwd\n", "data leads out of the project: '/etc/passwd'"),
        (FLAVOR + "    code: a\\..\\..\\b\n", "code leads out of the project"),
        (FLAVOR + "    python_model:\n    - a\n", "python_model must be a path"),
        (FLAVOR + "    model_code_path: /home/me/model.py\n", "model_code_path is 'model.py', which is not in"),
        (
            FLAVOR + "    artifacts:\n      words:\n        path: artifacts/w.txt\n        uri: /home/me/w.txt\n",
            "artifacts.words is 'artifacts/w.txt', which is not in the project",
        ),
        (FLAVOR + "signature:\n  inputs: '[{'\n", "MLmodel: the inputs of its signature cannot be read"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_told_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(BuildFailed) as caught:
        told(text)
    assert why in caught.value.reason
    assert "\n" not in caught.value.reason


def test_paths_are_those_of_the_models_own_folder() -> None:
    assert told(GOOD, "sub/model.pkl", "sub/MLmodel", file="sub/MLmodel").python == "3.11.7"
    assert told(FLAVOR + "    data: model\n", "model/data/weights").requirements is None
    with pytest.raises(BuildFailed, match="is not in the project"):
        told(GOOD, "model.pkl", file="sub/MLmodel")


@pytest.mark.parametrize(
    ("documents", "requirements", "note"),
    [
        ({"requirements_txt": "mlflow==2.0\nsix\n", "conda_yaml": CONDA}, "mlflow==2.0\nsix\n", "requirements.txt"),
        ({"requirements_txt": "-c constraints.txt\nmlflow\n"}, "mlflow\n", "the constraints that requirements.txt"),
        ({"conda_yaml": CONDA}, "mlflow==2.0\nsix\n", "packages of conda's are not installed: libfoo=2"),
        ({"conda_yaml": "dependencies:\n- python=3.9\n- mlflow\n"}, None, ""),
        ({}, None, ""),
    ],
)
def test_requirements_are_the_models_own(documents: dict[str, str], requirements: str | None, note: str) -> None:
    found = told(GOOD, "model.pkl", **documents)
    assert found.requirements == requirements
    assert any(note in each for each in found.notes) or not note


def test_the_python_is_the_one_that_the_model_was_saved_with() -> None:
    assert told(GOOD, "model.pkl", python_env_yaml="python: 3.10.4\n").python == "3.10.4"
    assert told(FLAVOR).python == ""


def test_an_environment_that_cannot_load_a_model_is_refused() -> None:
    check_lock("MLmodel", "six==1.0 \\\n    --hash=sha256:aa\nmlflow-skinny==3.0 \\\n    --hash=sha256:aa\n")
    with pytest.raises(BuildFailed, match="hold neither mlflow nor mlflow-skinny"):
        check_lock("MLmodel", "six==1.0 \\\n    --hash=sha256:aa\nmlflow-tracing==3.0\n")


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


@pytest.fixture
def backend(tmp_path: Path, blobs: Blobs) -> BundleBackend:
    """Its mlflow wants an older six than the harness does."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for version in ("1.10.0", "1.17.0"):
        make_wheel(wheels, "six", version, {"six.py": ""})
    make_wheel(wheels, "mlflow", "2.0", {"mlflow.py": ""}, ["six<1.11"])
    make_wheel(wheels, "other", "1.0", {"other.py": ""})
    cache = str(tmp_path / "cache")
    index = f"file://{wheels}"  # the only one: there is no other mlflow
    return make_backend(tmp_path / "home", blobs, UV_DEFAULT_INDEX=index, UV_FIND_LINKS=str(wheels), UV_CACHE_DIR=cache)


async def locked(
    backend: BundleBackend, blobs: Blobs, folder: Path, files: dict[str, str], **changes: Any
) -> tuple[str, str]:
    """The lock that a build would make, and its log so far: to install it takes time, and is the same as ever."""
    lines = Lines()
    order = await make_order(blobs, files, **{"file": "m/MLmodel", **changes})
    interpreter = await describe_interpreter(backend.model_python, backend.environ)
    harness = await read_harness(backend.harness_wheel, folder)
    async with lines.log.opened():
        found = await read_project(blobs, order, backend.environ, lines.log)
        order = await check_mlflow(blobs, order, found, interpreter.version, lines.log)
        lock = await backend.locksmith.lock(order, interpreter, harness, folder, lines.log)
    return lock, lines.text


async def test_a_model_gets_its_own_requirements_and_the_harness_what_it_needs(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    files = {"m/MLmodel": GOOD.replace("3.11.7", "3.6.1"), "m/model.pkl": "", "m/requirements.txt": "mlflow==2.0\n"}
    lock, log = await locked(backend, blobs, tmp_path, files)
    assert locked_versions(lock) == ["mlflow==2.0", "six==1.17.0"]
    assert "Note: the model was saved with Python 3.6.1, and it will run with " in log
    assert "Note: the requirements are those of m/requirements.txt" in log


async def test_requirements_that_are_given_are_used_in_place_of_the_models(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    files = {"m/MLmodel": GOOD, "m/model.pkl": "", "m/requirements.txt": "nothing-of-this-name\n"}
    lock, log = await locked(backend, blobs, tmp_path, files, requirements="other\nmlflow\n")
    assert locked_versions(lock) == ["mlflow==2.0", "other==1.0", "six==1.17.0"]
    assert "m/requirements.txt" not in log


@pytest.mark.parametrize(
    ("files", "changes", "why"),
    [
        ({"m/requirements.txt": "mlflow"}, {"function": "run"}, "an MLflow model has one function, 'predict', and not"),
        ({}, {}, "m/MLmodel: the model names no packages, in requirements.txt or for pip in conda.yaml beside it"),
        (
            {"m/requirements.txt": "mlflow\ngit+https://host/x"},
            {},
            "m/MLmodel: of the model's own requirements line 2: 'git+https://host/x' names an address",
        ),
        ({"m/requirements.txt": "other"}, {}, "m/MLmodel: the requirements hold neither mlflow nor mlflow-skinny"),
        ({"m/requirements.txt": b"\xff"}, {}, "m/requirements.txt: it is not UTF-8"),
        ({"m/requirements.txt": "mlflow"}, {"exclude_files": ("*.pkl",)}, "data is 'model.pkl', which is not in"),
    ],
)
async def test_a_model_that_cannot_be_served_fails_its_build(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, files: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    order = await make_order(blobs, {"m/MLmodel": GOOD, "m/model.pkl": "", **files}, file="m/MLmodel", **changes)
    lines = Lines()
    async with lines.log.opened():
        with pytest.raises(BuildFailed) as caught:
            await backend.build(order, tmp_path, lines.log)
    assert why in caught.value.reason
