"""This file is the command: `python -m services.embedded up | down | status | backup …`, as the Makefile calls it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from services.embedded.backup import backup, restore
from services.embedded.down import down
from services.embedded.parts import REPOSITORY
from services.embedded.progress import Progress
from services.embedded.rekey import rekey
from services.embedded.status import status
from services.embedded.trouble import Trouble
from services.embedded.up import up


def main(arguments: list[str]) -> int:
    """0 when it is done, 1 with a sentence on stderr when it is not, 130 when it was interrupted.

    3 for a backup, or a restoring, that is done and of which there is something to know.
    """
    options = _parse(arguments)
    root = Path(os.environ.get("MODELWAY_HOME") or REPOSITORY / ".modelway").absolute()
    progress = Progress()
    try:
        match options.command:
            case "up":
                up(root, os.environ, progress, with_example=not options.no_example)
            case "down":
                down(root, progress)
            case "backup":
                return backup(root, options.file.absolute(), os.environ, progress, with_keys=options.with_keys)
            case "restore":
                return restore(root, options.file.absolute(), os.environ, progress)
            case "rekey":
                return rekey(root, os.environ, progress)
            case _:
                return 0 if status(root, progress) else 1
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted: what was started goes on; `make down` stops it.", file=sys.stderr)
        return 130
    return 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.embedded")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "down", "status", "rekey"):
        commands.add_parser(name)
    for name in ("backup", "restore"):
        commands.add_parser(name).add_argument("file", type=Path)
    commands.choices["up"].add_argument("--no-example", action="store_true", help="do not publish examples/iris")
    with_keys = "with the keys of tokens and variables: who has the file can then open them"
    commands.choices["backup"].add_argument("--with-keys", action="store_true", help=with_keys)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
