"""This file is a program: `source.py FILE NAME FUNCTION` says whether FILE is Python and can have FUNCTION at its top.

It runs under the model's own interpreter, so that the grammar is the right one, with `-I -S`: nothing of the
project is imported or executed. It writes `{"fault": sentence, "detail": text}`, both empty when all is well.
NAME is what the sentence calls the file. A function is missed only when that is certain; in doubt the harness
finds out.
"""

from __future__ import annotations

import ast
import difflib
import json
import resource
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

MEMORY_BYTES = 1 << 30
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
# With one of these names a module can define anything; a reader cannot tell.
CONJURERS = frozenset({"exec", "eval", "globals", "locals", "vars", "setattr", "__dict__", "modules", "__import__"})


def examine(source: bytes, name: str, function: str) -> tuple[str, str]:
    """The one-sentence fault of `source` and its detail, or two empty texts.

    >>> examine(b"def predict(x): return x", "model.py", "predict")
    ('', '')
    >>> examine(b"def predict(x): return x", "model.py", "predit")[0]
    "model.py: function 'predit' is not defined at the top level; did you mean 'predict'?"
    """
    try:
        tree = ast.parse(source, name)
        compile(source, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        where = f"{name}:{error.lineno}" if error.lineno else name
        return f"{where}: syntax error: {error.msg}", "".join(traceback.format_exception_only(error))
    except ValueError as error:
        return f"{name}: this is not Python source: {error}", ""
    except (RecursionError, MemoryError):
        return f"{name}: the source is nested too deeply, or is too large, to be read", ""
    if function in set(bound_names(tree.body)) or is_uncertain(tree, function):
        return "", ""
    functions = [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
    close = difflib.get_close_matches(function, functions, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    listed = f"Functions at its top level: {', '.join(functions) or 'none'}."
    return f"{name}: function {function!r} is not defined at the top level{hint}", listed


def bound_names(body: list[ast.stmt]) -> Iterator[str]:
    """Every name that the statements of a module may bind in the module itself, under whatever condition."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            yield node.name
        elif isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        if not isinstance(node, SCOPES):
            pending.extend(ast.iter_child_nodes(node))


def is_uncertain(tree: ast.Module, function: str) -> bool:
    """True when the module may define `function` in a way that reading does not show."""
    for node in ast.walk(tree):
        if isinstance(node, ast.alias) and (node.name == "*" or node.name in CONJURERS):
            return True
        if isinstance(node, ast.Global) and function in node.names:
            return True
        if (isinstance(node, ast.Name) and node.id in CONJURERS) or (
            isinstance(node, ast.Attribute) and node.attr in CONJURERS
        ):
            return True
        if isinstance(node, SCOPES) and function in _walruses(node):
            return True
    return "__getattr__" in set(bound_names(tree.body))


def _walruses(scope: ast.AST) -> set[str]:
    """Names bound by `:=` in what a definition at the top evaluates at once: defaults, decorators, bases."""
    return {
        node.target.id
        for node in ast.walk(scope)
        if isinstance(node, ast.NamedExpr) and isinstance(node.target, ast.Name)
    }


def main(path: str, name: str, function: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    fault, detail = examine(Path(path).read_bytes(), name, function)
    json.dump({"fault": fault, "detail": detail}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
