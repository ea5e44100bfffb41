"""This file is what the router reads from its environment."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from services.kit.config import ServiceConfig
from services.router.haproxy.settings import Settings


class HAProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where HAProxy is. Enough to write its first configuration."""

    haproxy_dir: Path
    haproxy_master_socket: Path
    haproxy_binary: Path
    public_host: str = "127.0.0.1"
    public_port: int = 8080
    api_address: str = "127.0.0.1:8000"
    haproxy_threads: int = 0  # 0: half as many as there are processors, for the models need the others
    max_waiting: int = 500


class RouterConfig(ServiceConfig, frozen=True, kw_only=True):
    router_id: str = ""  # becomes the service's id


def settings(config: HAProxyConfig) -> Settings:
    """What HAProxy's configuration says about this place."""
    sockets = config.haproxy_master_socket.parent  # that folder was chosen short enough for one
    host = f"[{config.public_host}]" if ":" in config.public_host else config.public_host
    return Settings(
        public_address=f"{host}:{config.public_port}",
        newest_socket=str(sockets / "haproxy-newest.sock"),
        held_socket=str(sockets / "haproxy-held.sock"),
        access_sockets=str(sockets / "access"),
        api_address=config.api_address,
        threads=config.haproxy_threads or max(1, (os.cpu_count() or 1) // 2),
        max_waiting=config.max_waiting,
    )
