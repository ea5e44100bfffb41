"""This file is a program: `bytecode.py FOLDER PART PARTS` compiles its share of FOLDER's Python files to bytecode.

Run with `-I -S` by the interpreter the files are meant for: so no `.pth` file of a package that was just
installed is executed, which is what `uv pip install --compile-bytecode` does. Files that do not compile are
left alone: packages carry templates and other versions' syntax.
"""

from __future__ import annotations

import os
import py_compile
import sys
import warnings
from collections.abc import Iterator


def python_files(folder: str) -> Iterator[str]:
    for where, folders, files in os.walk(folder):
        folders.sort()
        yield from (os.path.join(where, file) for file in sorted(files) if file.endswith(".py"))


def main(folder: str, part: int, parts: int) -> None:
    warnings.simplefilter("ignore")
    for number, path in enumerate(python_files(folder)):
        if number % parts == part:
            try:
                py_compile.compile(path, doraise=True)
            except (py_compile.PyCompileError, OSError, ValueError, RecursionError, MemoryError):
                continue


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
