"""This file is what the monitor reads from its environment."""

from __future__ import annotations

from services.kit.config import ServiceConfig


class MonitorConfig(ServiceConfig, frozen=True, kw_only=True):
    probes_at_once: int = 64  # rounds of probes in flight; what comes beyond waits its turn
