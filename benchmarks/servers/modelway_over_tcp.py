"""This file runs an instance whose worker listens on TCP: only so that it can be compared with servers that do.

    python modelway_over_tcp.py PORT --instance INSTANCE_ID --config instance.json

No platform does this. The socket that the worker makes for its Unix address is another one by the time it listens.
"""

import os
import socket
import sys
from pathlib import Path

from modelway_harness.__main__ import main

PORT = int(sys.argv.pop(1))
_bind = socket.socket.bind


def bind(self, address):
    if self.family != socket.AF_UNIX:
        _bind(self, address)
        return
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", PORT))
        os.dup2(other.fileno(), self.fileno(), inheritable=False)
    Path(address).touch()


if __name__ == "__main__":
    socket.socket.bind = bind
    sys.exit(main())
