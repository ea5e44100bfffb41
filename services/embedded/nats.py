"""This file is the bus of the home: one user for each service, who may do what that service needs and no more."""

from __future__ import annotations

import json

from services.embedded import credentials
from services.embedded.home import Home, write_whole
from services.embedded.ports import LOOPBACK, SERVICES
from services.kit.permissions import nats_users


def write_nats_configuration(home: Home, *, port: int, status_port: int) -> None:
    """Write `config/nats.conf`. NATS refuses everyone who is not one of its users.

    The passwords stand there as they are: only the owner can read the file, and the passwords lie beside it anyway.
    """
    passwords = {name: credentials.read(credentials.bus_password(home, name)) for name in SERVICES}
    configuration = {
        "listen": f"{LOOPBACK}:{port}",
        "server_name": "modelway",
        "jetstream": {
            "store_dir": str(home / "nats"),
            "max_memory_store": 64 << 20,
            "max_file_store": 16 << 30,
            "sync_interval": "1s",  # how much a loss of power may take; what is decided is put again by api
        },
        # Not through the supervisor: a bus that cannot write a line of its log because that one died, dies too.
        "log_file": str(home.log("nats-server")),
        "logfile_size_limit": 10 << 20,
        "logfile_max_num": 4,
        # What `revival` asks.
        "http": f"{LOOPBACK}:{status_port}",
        "http_base_path": f"/{credentials.read(credentials.bus_status_path(home))}",
        "authorization": {"users": nats_users(passwords)},
    }
    write_whole(home / "config" / "nats.conf", json.dumps(configuration, indent=2))
