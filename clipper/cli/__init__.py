"""The `clipper` command: one command for each thing that an operator does with a cluster.

It is a client like any script: managers start processes, `ClipperConnection` configures them.
"""

from clipper.cli.app import main

__all__ = ["main"]
