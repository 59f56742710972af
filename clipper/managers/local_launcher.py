"""Replaces itself by a command that dies when its parent dies.

Run as a script, by path and in isolated mode, because a hook between fork and exec is not safe in
a process with threads. ``local_launcher.py <parent pid> <command> [argument…]``; the parent must
be the thread that forked. Linux only; elsewhere the command runs without that bond.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind to the parent's life, then execute the command. Exit status 127: it cannot be."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the call above; then no signal will ever come.
        if os.getppid() != parent:
            sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be executed: {error}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
