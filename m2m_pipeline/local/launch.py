"""The first instructions of every child process, run by path before the child's own program.

    python -I -S launch.py PARENT_PID SIGNAL UID PROGRAM [ARGUMENT ...]

Becomes PROGRAM as user and group UID, and receives SIGNAL when the thread that started it ends for whatever reason.
A program of its own, because code between fork and exec (preexec_fn) may deadlock a process with threads, and because
the kernel forgets the death signal when the user changes.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Replace this process by the program; returns only if the parent is gone already. Raises OSError, SystemExit."""
    parent, death_signal, uid = (int(argument) for argument in arguments[:3])
    program = arguments[3:]
    libc = ctypes.CDLL(None, use_errno=True)
    if uid != os.geteuid():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    # A parent that died before the line above took effect sends no signal any more.
    if os.getppid() == parent:
        try:
            os.execv(program[0], program)  # noqa: S606 - becoming another program is the purpose
        except OSError as error:
            sys.exit(f"{program[0]}: user {uid} cannot execute it: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
