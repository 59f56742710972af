"""What keeps a cluster's processes running, in the words of those who look after it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from clipper.cli.modes import Mode


@dataclasses.dataclass(frozen=True, slots=True)
class Home:
    """One kind of place where clusters run."""

    keeper: str
    """What restarts processes that die."""
    up: str
    """The command that starts a cluster there."""
    when_silent: str
    """What to do when the keeper does not answer."""
    when_incomplete: str
    """What to do when a part of the cluster is gone."""
    when_unconnected: str = ""
    """What to do when no way into the cluster is found; empty: what the processes' logs say."""
    on_disk: bool = False
    """Whether the cluster's data are in a directory of this host."""
    own_ports: bool = True
    """Whether a cluster takes ports of this host."""
    moves_ports: bool = False
    """Whether it takes others when those are not free."""
    images_at: str = ""
    """Where images have to be; empty: that is not known from here, or there are none."""
    examines_itself: bool = False
    """Whether the manager's own diagnosis tells of processes that die or do no work."""


_ANEW = "clipper down, then clipper up: nothing is lost"

HOMES: Mapping[Mode, Home] = {
    Mode.LOCAL: Home(
        keeper="supervisor",
        up="clipper up",
        when_silent="If it stays so, start the cluster anew: clipper down --now, then clipper up",
        when_incomplete=_ANEW,
        on_disk=True,
    ),
    Mode.DOCKER: Home(
        keeper="Docker engine",
        up="clipper --mode docker up",
        when_silent="`docker info` must answer first",
        when_incomplete=_ANEW,
        moves_ports=True,
        images_at="on the engine",
    ),
    Mode.KUBERNETES: Home(
        keeper="Kubernetes",
        up="clipper --mode kubernetes up",
        when_silent="`kubectl cluster-info` must answer first",
        when_incomplete="clipper up makes anew what is missing: nothing is lost",
        when_unconnected="`kubectl proxy` is a way into every cluster: clipper --proxy "
        "127.0.0.1:8001",
        own_ports=False,
        examines_itself=True,
    ),
}
