"""This file is the command: `python -m services.embedded up | down | status`, as the Makefile calls it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from services.embedded.down import down
from services.embedded.parts import REPOSITORY
from services.embedded.progress import Progress
from services.embedded.status import status
from services.embedded.trouble import Trouble
from services.embedded.up import up


def main(arguments: list[str]) -> int:
    """0 when it is done, 1 with a sentence on stderr when it is not, 130 when it was interrupted."""
    parser = argparse.ArgumentParser(prog="python -m services.embedded")
    parser.add_argument("command", choices=("up", "down", "status"))
    parser.add_argument("--no-example", action="store_true", help="do not publish examples/iris")
    options = parser.parse_args(arguments)
    root = Path(os.environ.get("MODELWAY_HOME") or REPOSITORY / ".modelway").absolute()
    progress = Progress()
    try:
        match options.command:
            case "up":
                up(root, os.environ, progress, with_example=not options.no_example)
            case "down":
                down(root, progress)
            case _:
                return 0 if status(root, progress) else 1
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: what was started goes on; `make down` stops it.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
