"""This file is running the examples in the client's docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import modelway
import pytest

_MODULES = [module.name for module in pkgutil.walk_packages(modelway.__path__, "modelway.")]


@pytest.mark.parametrize("name", [name for name in _MODULES if not name.endswith("__main__")])
def test_the_examples_in_the_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
