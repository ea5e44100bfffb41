"""This file is what a drill strikes, in order: one part after another, then all services at once."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass

SERVICES = ("deployer", "router", "monitor", "builder", "api")


@dataclass(frozen=True, kw_only=True)
class Strike:
    """Programs, or parts of them, that get a signal at the same moment.

    `allowed`: calls that may fail by it. One for each worker of an instance: nobody else has the call that it was
    working on. None for HAProxy: who is connected to it when it dies notices.
    """

    what: str
    whom: tuple[str, ...]
    signal: signal.Signals = signal.SIGKILL
    allowed: int | None = 0


INSTANCE = "instance"
WORKER_OF = "worker of "


def strikes(programs: Sequence[str], *, workers: int) -> list[Strike]:
    """The order of a drill on a platform of these programs, whose instances have so many workers.

    >>> [each.what for each in strikes(("nats", "haproxy"), workers=1)]
    ['instance', 'nats', 'HAProxy worker of haproxy']
    """
    services = [name for name in programs if name.partition("-")[0] in SERVICES]
    one_by_one = [name for name in (*services, "nats", "database") if name in programs]
    proxies = [name for name in programs if name.startswith("haproxy")]
    all_services = [
        Strike(what="all services, killed", whom=tuple(services)),
        Strike(what="all services, ended", whom=tuple(services), signal=signal.SIGTERM),
    ]
    return [
        Strike(what=INSTANCE, whom=(INSTANCE,), allowed=workers),
        *(Strike(what=name, whom=(name,)) for name in one_by_one),
        *(Strike(what=f"HAProxy worker of {name}", whom=(WORKER_OF + name,), allowed=None) for name in proxies),
        *(all_services if services else []),
    ]
