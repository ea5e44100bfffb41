"""This file turns what `uv` prints when requirements do not resolve into one sentence, or into "try again later"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.builder.requirements import Wanted
from services.core.errors import BuildFailed, ModelwayError, Unavailable

NO_SOLUTION = "No solution found"
MAX_CAUSE = 200

_END_OF_CAUSE = re.compile(r"\n\s*\n|\n\s*hint:")
_SPEC = r"(?![\w.-]*\w)"


def resolution_error(output: str, code: int, wanted: Sequence[Wanted], own: Sequence[Wanted]) -> ModelwayError:
    """The error that `output` of a failed `uv` means: `BuildFailed` when the requirements are at fault, else
    `Unavailable`.

    `own` are the platform's requirements; the sentence says so when it is they that are contradicted. No
    address of an index is in the sentence.
    """
    if NO_SOLUTION not in output:
        if re.search(r"Failed to fetch|error sending request|Request failed|timed out|dns error", output):
            return Unavailable("the package index does not answer", retry_after_s=5.0)
        return Unavailable(f"the package installer ended with {code}; the build log has what it said")
    if re.search(r"lack of valid authentication|40[13] (Unauthorized|Forbidden)", output):
        return Unavailable("the package index refuses the platform's credentials")
    if "network was disabled" in output:
        return Unavailable("the package index is not reachable: the network is disabled")
    return BuildFailed(_sentence(_cause(output), wanted, own))


def _cause(output: str) -> str:
    after = output.split(NO_SOLUTION, 1)[1]
    body = after.partition("cause:")[2] or after
    return " ".join(_END_OF_CAUSE.split(body, maxsplit=1)[0].split())


def _sentence(cause: str, wanted: Sequence[Wanted], own: Sequence[Wanted]) -> str:
    named = [one for one in wanted if _is_required(one, cause)]
    names = {one.name for one in named}
    against = [one for one in own if one.name not in names and _is_required(one, cause)]
    if len(named) > 1 or not named:
        texts = ", ".join(dict.fromkeys(repr(one.text) for one in named))
        subject = f"requirements {texts} do not resolve together" if named else "the requirements do not resolve"
    else:
        subject = f"requirement {named[0].text!r} does not resolve"
    against_us = ", ".join(repr(one.text) for one in (against or [o for o in own if o.text in cause]))
    us = f" (the platform itself needs {against_us})" if against_us else ""
    return f"{subject}: {_because(cause)}{us}"


def _is_required(one: Wanted, cause: str) -> bool:
    """True when `uv` says that this one is asked for, not merely that something depends on its package."""
    name = re.escape(one.name)
    return re.search(rf"(?:you require|and) (?:[\w.\[\]-]+\S* and )?{name}{_SPEC}", cause, re.IGNORECASE) is not None


def _because(cause: str) -> str:
    first = re.split(r", we can conclude", cause, maxsplit=1)[0].removeprefix("Because ")
    fact = re.split(r" and you require ", first, maxsplit=1)[0]
    if match := re.match(r"(\S+) was not found in the", fact):
        return f"the package index has no package named {match[1]!r}"
    if "no usable wheels" in fact or "no wheels" in fact:
        return "it has no ready-made wheel for this Python and platform, and source distributions are not built"
    if fact.startswith("you require"):
        return "they contradict each other"
    return fact if len(fact) <= MAX_CAUSE else fact[: MAX_CAUSE - 3] + "..."
