"""This file is the table that people read: a line for each round."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.match import Played

_ROW = "{:<18} {:>4} {:>7} {:>6} {:>7} {:>8} {:>8}  {:<5} {}"
_HEAD = _ROW.format("round", "ops", "refused", "sent", "failed", "longest", "settled", "", "what was done to it")


def row(played: Played) -> str:
    return _ROW.format(
        played.name,
        played.operations,
        played.refused,
        played.sent,
        played.failed,
        f"{played.longest_s:.1f} s",
        f"{played.settled_s:.1f} s",
        "LOST" if played.wrong else "held",
        "; ".join((", ".join(played.struck), *([f"last: {played.settled_last}"] if played.settled_last else []))),
    )


def table(played: Sequence[Played]) -> str:
    return "\n".join((_HEAD, *map(row, played)))
