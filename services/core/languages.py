"""This file is the languages of functions: the publisher says which one it is, or else the file's name tells."""

from __future__ import annotations

from enum import StrEnum

R_MEMORY_BYTES = 256 << 20  # the least an instance of R is given; idle, without packages, it holds half of that


class Language(StrEnum):
    PYTHON = "python"
    R = "r"


SUFFIXES = {".py": Language.PYTHON, ".R": Language.R, ".r": Language.R}
# The end of a sentence about a file's name, for who has a field to fill in and for who has a command line.
NAMED = "must end in .py, or in .R, or be an MLmodel, unless `language` (--language) says what it is written in"
MLFLOW_MODEL = "MLmodel"  # the file that makes its folder a model that MLflow saved; Python runs it
MLFLOW_FUNCTION = "predict"


def language_of(file: str) -> Language | None:
    """The language of the script at the path `file`; None when it is in none of ours.

    >>> language_of("src/model.py"), language_of("model.R"), language_of("model.txt")
    (<Language.PYTHON: 'python'>, <Language.R: 'r'>, None)
    >>> language_of("churn/MLmodel")
    <Language.PYTHON: 'python'>
    """
    if is_mlflow(file):
        return Language.PYTHON
    return next((language for suffix, language in SUFFIXES.items() if file.endswith(suffix)), None)


def written_in(file: str, said: Language | None) -> Language | None:
    """The language of the script at the path `file`, of which its publisher `said` something or nothing.

    >>> written_in("score.txt", Language.R), written_in("model.R", None)
    (<Language.R: 'r'>, <Language.R: 'r'>)
    """
    return said or language_of(file)


def is_mlflow(file: str) -> bool:
    """Whether the path `file` is that of an MLflow model, which has no script of the person's."""
    return file.rpartition("/")[2] == MLFLOW_MODEL
