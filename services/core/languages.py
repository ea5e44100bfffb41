"""This file is the languages a version's function may be written in, and how its file tells which one it is."""

from __future__ import annotations

from enum import StrEnum

R_MEMORY_BYTES = 1 << 30  # the least an instance of R is given


class Language(StrEnum):
    PYTHON = "python"
    R = "r"


SUFFIXES = {".py": Language.PYTHON, ".R": Language.R, ".r": Language.R}
NAMED = "must end in .py, or in .R"  # the end of a sentence about a file's name


def language_of(file: str) -> Language | None:
    """The language of the script at the path `file`; None when it is in none of ours.

    >>> language_of("src/model.py"), language_of("model.R"), language_of("model.txt")
    (<Language.PYTHON: 'python'>, <Language.R: 'r'>, None)
    """
    return next((language for suffix, language in SUFFIXES.items() if file.endswith(suffix)), None)
