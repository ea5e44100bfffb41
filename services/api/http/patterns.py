"""This file is which regular expressions a person may search names with: a part that no engine takes long over.

Allowed are plain characters; `.` for any one; `.*` for any number of any, a few times; `[...]` for one of several;
`|` between alternatives, a few times, `(...)` around them; `^` and `$`; and a backslash before a character that is
meant as itself. Nothing is repeated but `.*`, so that no name takes an engine that tries everything long.
"""

from __future__ import annotations

import re

from services.core.errors import Invalid
from services.core.names import shortened

MAX_CHARACTERS = 100
MAX_STARS = 2
MAX_BARS = 5

_TOKEN = re.compile(
    r"""
    (?P<star>\.\*)
    | \[ \^? (?: [\w\ .,:;@!/=-] )+ \]   # without brackets, backslashes and carets of its own
    | \\ [^\w\s]                       # escaped punctuation
    | \( (?!\?) | [)|.^$]
    | [^\\()\[\]{}*+?|.^$]              # itself
    """,
    re.VERBOSE,
)


def regular_expression(text: str | None, *, field: str = "name") -> str | None:
    """`text` itself, when it is within the part that is allowed; else `Invalid`.

    >>> regular_expression("^iris.*(v1|v2)$")
    '^iris.*(v1|v2)$'
    """
    if text is None:
        return None
    tokens = [found[0] for found in _TOKEN.finditer(text)]
    is_allowed = len(text) <= MAX_CHARACTERS and "".join(tokens) == text
    if not is_allowed or tokens.count(".*") > MAX_STARS or tokens.count("|") > MAX_BARS:
        raise Invalid(
            f"{field} must be at most {MAX_CHARACTERS} characters of a regular expression that repeats nothing but "
            f"'.*', with that {MAX_STARS} times and '|' {MAX_BARS} times at most, got {shortened(text)}",
            field=field,
        )
    try:
        re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise Invalid(f"{field} must be a regular expression, and is not: {error}", field=field) from None
    return text
