"""This file is a program: `unprivileged.py UID MARK COMMAND...` becomes COMMAND as user UID, with no way back.

MARK is the one group it is in: none of its processes can put it off, and by it they are found again. UID may be `-`: no
right can be gained then, and none is given up. It ends with 97 where it cannot become that user.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
REFUSED = 97


def main(arguments: list[str]) -> None:
    user, mark, *command = arguments
    program = shutil.which(command[0])  # before the change of user, who may not read this interpreter's own files
    if program is None:
        print(f"{command[0]}: not found", flush=True)
        sys.exit(127)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if user != "-":
        try:
            os.setgroups([int(mark)])
            os.setresgid(int(user), int(user), int(user))
            os.setresuid(int(user), int(user), int(user))
        except OSError as error:
            print(f"cannot become user {user}: {error.strerror}", flush=True)
            sys.exit(REFUSED)
    if sys.platform == "linux":  # after the change of user, which undoes the tie to the builder
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(program, command)  # noqa: S606  (becoming the command is what this program is for)


if __name__ == "__main__":
    main(sys.argv[1:])
