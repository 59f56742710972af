"""Kills what is left of a cluster when its supervisor dies without stopping it.

The kernel kills the supervisor's direct children (see `local_launcher`); this process kills their
groups, in which frontends keep workers. ``local_watchdog <children file> <pid> <start ticks>``;
standard input is a pipe that ends with the supervisor.
"""

from __future__ import annotations

import sys
from pathlib import Path

from clipper.managers.local_processes import ProcessIdentity, sweep


def main() -> None:
    """Wait for the supervisor's end, then sweep if its record says that children are left."""
    children_file, pid, started = sys.argv[1:4]
    while sys.stdin.buffer.read(1):
        pass
    sweep(Path(children_file), ProcessIdentity(int(pid), int(started)))


if __name__ == "__main__":
    main()
