"""This file is how a label's candidate is written down for HAProxy, which draws a number for every call.

A tester chooses with the header `X-Modelway-Canary`: `always` goes to the candidate and `never` to the main version,
whatever the share; anything else takes part in the draw. No instance sees the header. A candidate without a server
that answers takes no call at all.
"""

from __future__ import annotations

from services.core.ids import VersionId
from services.core.records import Candidate

HEADER = "X-Modelway-Canary"
DRAWN_FROM = 10_000  # so a share is told in hundredths of a percent
_SEPARATOR = ":"


def written(candidate: Candidate) -> str:
    """The value that stands in HAProxy's map: of how many draws the candidate gets the call, and which version it is.

    >>> written(Candidate(version_id=VersionId("a" * 24), share=12.5))
    '1250:aaaaaaaaaaaaaaaaaaaaaaaa'
    """
    draws = round(min(max(candidate.share, 0.0), 100.0) / 100 * DRAWN_FROM)
    return f"{draws}{_SEPARATOR}{candidate.version_id}"


def version_of(text: str) -> VersionId:
    """The version in what `written` wrote.

    >>> version_of("1250:aaaaaaaaaaaaaaaaaaaaaaaa")
    'aaaaaaaaaaaaaaaaaaaaaaaa'
    """
    return VersionId(text.partition(_SEPARATOR)[2])
