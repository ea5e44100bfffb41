"""This file is HAProxy's word of each call that was let in: a line of the kind that core/calls reads.

Lines go to datagram sockets, so that nobody waits for whoever reads them, and nobody has to be there. A datagram socket
holds eleven of them (net.unix.max_dgram_qlen), whatever its buffer: HAProxy takes several in turn.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.router.haproxy.settings import Settings

SOCKETS = 16
LINE_BYTES = 256
FROM_HERE_ON = "    http-request set-log-level info"

# %b: the backend, which is the version; %s: the last server that was tried; %Ta: from the first byte of the request to
# the last of the answer; %ts: how it ended.
_LINE = "%ID %[var(txn.model)] %[var(txn.label)] %b %s %[var(txn.began)] %Ta %ST %ts"


def log(settings: Settings) -> Iterable[str]:
    """What a frontend says that has a word of no call but of those that come to `FROM_HERE_ON`."""
    for number, path in enumerate(paths(settings), start=1):
        yield f"    log '{path}' len {LINE_BYTES} format raw sample {number}:{SOCKETS} local0 info"
    yield f"    log-format '{_LINE}'"
    yield "    option dontlognull"
    yield "    http-request set-log-level silent"


def paths(settings: Settings) -> list[str]:
    return [f"{settings.access_sockets}-{number}.sock" for number in range(SOCKETS)]
