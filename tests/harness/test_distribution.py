"""The distribution as a whole."""

from __future__ import annotations

import doctest
import importlib
import tomllib
from pathlib import Path

import modelway_harness
import pytest

ROOT = Path(__file__).parents[2] / "harness" / "python"


def test_the_package_and_its_project_file_agree_on_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == modelway_harness.__version__


@pytest.mark.parametrize("name", ["binding", "encoding", "wording"])
def test_the_examples_in_docstrings_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"modelway_harness.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0


@pytest.mark.parametrize("name", ["loader", "binding", "encoding", "calls"])
def test_what_decides_knows_nothing_of_the_server(name: str) -> None:
    source = (ROOT / "src" / "modelway_harness" / f"{name}.py").read_text()
    assert not any(word in source.lower() for word in ("flask", "gunicorn", "werkzeug", "http"))
