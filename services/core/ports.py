"""This file is what the services ask of the outside world, as Protocols; adapters live with the services.

tests/contracts holds one suite a port, and every adapter to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import Desired, LogLine


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """One instance that should run."""

    instance_id: InstanceId
    desired: Desired
    grace_s: float  # how long it may take to end by itself once it is told to


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as the runtime sees it, whoever started it."""

    instance_id: InstanceId
    model_id: AggregateId
    version_id: VersionId
    generation: int
    addresses: tuple[str, ...]  # one per worker: the absolute path of a Unix socket, or host:port
    started_at: datetime
    is_alive: bool
    keeps_connections: bool = False  # as its `Instance` will say
    memory_bytes: int = 0  # 0: not measured yet
    memory_limit_bytes: int = 0  # as it was started with; 0: not known
    request_timeout_s: float = 0.0  # likewise
    exit_reason: str = ""  # one sentence, once it is not alive; "" is never known to be a reason
    was_stopped: bool = False  # ended by `stop`, or with the machine: no fault of the workload


class Runtime(Protocol):
    """Where instances run: local processes, containers or pods.

    Every method is idempotent, may be called from several tasks at once, and raises `Unavailable` when the engine
    cannot be reached, and nothing else unless said.
    """

    async def ensure(self, workload: Workload) -> None:
        """Make the instance exist. Returns once `observe` shows it, not once it is ready.

        An instance that exists already, alive or ended, is left as it is: an id is never used for two. Raises
        `WorkloadRejected`, and leaves nothing behind, when this workload can never run here.
        """

    async def stop(self, instance_id: InstanceId, *, grace_s: float) -> None:
        """End the instance and everything it started: asked to first, made to after `grace_s`.

        Returns once nothing of it runs; it stays observed, not alive, until it is forgotten. Unknown or ended: nothing.
        """

    async def forget(self, instance_id: InstanceId) -> None:
        """Take away what is left of an instance, its output too; ends it at once if it still runs. Unknown: nothing."""

    def concessions(self, desired: Desired) -> Sequence[str]:
        """What of this will not be held here, though it runs: a sentence each, most often none. Asks no engine."""

    async def observe(self) -> Sequence[Observed]:
        """Every instance that exists, alive or ended and not forgotten; those that an earlier process started too."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The next lines an instance wrote. `cursor` is where they end, meaningful to the port that gave it only."""

    lines: tuple[LogLine, ...]
    cursor: str


class InstanceOutput(Protocol):
    """What instances write, kept until it is accepted, within a bound that the adapter states."""

    async def read(self, instance_id: InstanceId, *, is_final: bool) -> Output:
        """Lines after the accepted cursor, at most some 64 kB; the same again until they are accepted.

        An unfinished line waits for its end, unless `is_final`: nobody will write it. Unknown instance: no lines.
        """

    async def accept(self, instance_id: InstanceId, cursor: str) -> None:
        """Everything up to `cursor` is safe elsewhere: it may be dropped here. Unknown instance: nothing."""

    def forget(self, instance_id: InstanceId) -> None:
        """Nobody will ask for this instance again."""
