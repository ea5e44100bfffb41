"""This file is a program: `tether.py PARENT COMMAND...` becomes COMMAND and dies as soon as process PARENT does.

A builder that is killed must not leave a child that goes on writing. The tie is Linux's (`PR_SET_PDEATHSIG`);
elsewhere the command simply runs. What it creates is readable for everyone: instances run as other users.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the tie was made
            sys.exit(1)
    os.umask(0o022)
    os.execvp(command[0], command)  # noqa: S606  (becoming the command is what this program is for)


if __name__ == "__main__":
    main(sys.argv[1:])
