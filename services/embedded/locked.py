"""This file is the wrapper around every program of the home: it takes the program's lock, then becomes the program.

    python -m services.embedded.locked <specification>

The specification is a file of JSON: `command`, `environment`, `folder`, `lock`. The program gets exactly that
environment, and nothing secret stands in its arguments.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from services.embedded import locks

PATIENCE_S = 5.0  # what the rest of a killed program (HAProxy's workers) gets to leave by itself
GRACE_S = 5.0


def main(specification: Path) -> NoReturn:
    """Become the program once its lock is free. Ends with 1 if the supervisor goes away before."""
    program = json.loads(specification.read_text(encoding="utf-8"))
    _wait_for(Path(program["lock"]), supervisor=os.getppid())
    os.chdir(program["folder"])
    os.execve(program["command"][0], program["command"], program["environment"])  # noqa: S606 - no shell


def _wait_for(lock: Path, *, supervisor: int) -> None:
    patient_until = time.monotonic() + PATIENCE_S
    while locks.take(lock) is None:
        if os.getppid() != supervisor:
            sys.exit(1)
        if time.monotonic() > patient_until:
            locks.end_holders([lock], grace_s=GRACE_S)
        time.sleep(0.05)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
