"""This file is what HAProxy's configuration says about the place where it runs."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What does not change while the router runs."""

    public_address: str  # host:port
    newest_socket: str  # a Unix socket: how an old worker reaches the newest
    held_socket: str  # a Unix socket: how the router keeps a worker until it has read its last counters
    access_sockets: str  # how the paths of the Unix sockets begin that access records go to; see access.py
    api_address: str  # host:port, or several of them with commas between
    threads: int = 1  # of HAProxy; calls of all of them take turns at a worker, and each turn wakes a thread
    max_waiting: int = 500  # calls that may wait for one version
