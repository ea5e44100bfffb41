"""This file is a program: which of a project's paths do ignore patterns leave out?

It reads `{"sources": [[name, [line, ...]], ...], "paths": [...]}` from its input and writes `{"left_out":
[...]}` or `{"fault": sentence}`. The patterns are gitignore's; of several that fit a path the last one
decides, as in git. It is a process of its own because a pattern like `*a*a*a*a*a*b` can take hours: this one
can be killed.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

FOLDER_GROUP = "ps_d"  # what pathspec names the slash that ends a folder, in patterns that mean one place


class Rule(NamedTuple):
    """A pattern. A folder's path ends in a slash here."""

    leaves_out: bool
    means: re.Pattern[str]


class UnusablePattern(Exception):
    """A line that is no pattern; the text is a sentence that names it."""


def left_out(sources: list[tuple[str, list[str]]], paths: list[str]) -> list[str]:
    """Those of `paths` that the lines of `sources`, in order, leave out. Raises UnusablePattern.

    >>> left_out([(".modelignore", ["*.csv", "!keep.csv"])], ["a.csv", "keep.csv", "model.py"])
    ['a.csv']
    """
    rules = [_rule(name, number, line) for name, lines in sources for number, line in enumerate(lines, start=1)]
    decisive = [rule for rule in reversed(rules) if rule is not None]
    verdicts: dict[str, bool] = {}  # a folder is judged once, not for each of its files

    def is_left_out(place: str) -> bool:
        if place not in verdicts:
            verdicts[place] = next((rule.leaves_out for rule in decisive if rule.means.search(place)), False)
        return verdicts[place]

    return [path for path in paths if any(map(is_left_out, _places(path)))]


def _places(path: str) -> Iterator[str]:
    """The folders that `path` is in, from the outermost, and itself: what is in a left out folder stays out."""
    parts = path.split("/")
    yield from ("/".join(parts[:depth]) + "/" for depth in range(1, len(parts)))
    yield path


def _rule(name: str, number: int, line: str) -> Rule | None:
    """The rule that a line is, None for a comment.

    `pathspec` lets a pattern that means a folder also mean what is in it, and then the usual `*`, `!*/`, `!*.py`
    would leave nothing out. Here a pattern means one place: its match has to reach the place's end. Only `folder/**`
    means all that is in the folder, and not the folder itself.
    """
    try:
        # To git, `c/**/` is every folder in c; to pathspec, all that is in c.
        pattern = GitIgnoreSpecPattern(re.sub(r"/\*\*/[ ]*$", "/**/*/", line))
    except (ValueError, re.error) as error:
        raise UnusablePattern(f"{name} line {number}: {line!r} is not a pattern that can be used") from error
    if pattern.regex is None or pattern.include is None:
        return None
    end = r"\Z" if FOLDER_GROUP in pattern.regex.groupindex else r"(?:(?!\Z)|(?<!/))"
    return Rule(leaves_out=pattern.include, means=re.compile(f"(?:{pattern.regex.pattern}){end}"))


def main() -> None:
    question = json.load(sys.stdin)
    try:
        answer = {"left_out": left_out(question["sources"], question["paths"])}
    except UnusablePattern as error:
        answer = {"fault": [str(error)]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
