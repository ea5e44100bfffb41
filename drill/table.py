"""This file is what people read of a drill: a line for each strike, and whether callers lost anything by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ROW = "{:<30} {:>8} {:>7} {:>8} {:>9} {:>8}  {}"
HEAD = _ROW.format("what was struck", "sent", "failed", "allowed", "longest", "back in", "")


@dataclass(frozen=True, kw_only=True)
class Struck:
    """What a strike cost. `allowed`: calls that may fail by it; None: as many as there are."""

    what: str
    requests: int
    failed: int
    allowed: int | None
    longest_s: float
    back_s: float | None  # until all was whole again; None: it did not become so in time
    complaint: str = ""  # of the first call that failed, or what is still missing

    @property
    def is_lost(self) -> bool:
        """More calls failed than may, nobody was asked, or it did not come back."""
        is_beyond = self.allowed is not None and self.failed > self.allowed
        return is_beyond or self.requests == 0 or self.back_s is None


def row(struck: Struck) -> str:
    """
    >>> print(row(Struck(what="api", requests=200, failed=0, allowed=0, longest_s=0.031, back_s=2.5)))
    api                                 200       0        0   0.031 s    2.5 s  held
    """
    return _ROW.format(
        struck.what,
        struck.requests,
        struck.failed,
        "any" if struck.allowed is None else struck.allowed,
        f"{struck.longest_s:.3f} s",
        "-" if struck.back_s is None else f"{struck.back_s:.1f} s",
        "LOST" if struck.is_lost else "held",
    )


def complaints(strikes: Sequence[Struck]) -> list[str]:
    """What was said about calls that failed, and about what did not come back."""
    return [f"{each.what}: {each.complaint}" for each in strikes if each.complaint]


def verdict(strikes: Sequence[Struck]) -> str:
    """One sentence.

    >>> verdict([Struck(what="api", requests=9, failed=0, allowed=0, longest_s=0.0, back_s=1.0)])
    'Held: 9 calls, none failed.'
    """
    sent = sum(each.requests for each in strikes)
    failed = sum(each.failed for each in strikes)
    lost = [each.what for each in strikes if each.is_lost]
    if lost:
        return f"Lost: {', '.join(lost)}; {failed} of {sent} calls failed."
    if not strikes:
        return "Nothing was struck."
    return f"Held: {sent} calls, {f'{failed} failed, as they may' if failed else 'none failed'}."
