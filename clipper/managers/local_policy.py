"""Decisions of the local supervisor: when to restart, which replicas to start and stop.

Pure: nothing here reads a clock, starts a process or logs. Times are float seconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from clipper.managers.deaths import DEATHS_THAT_COUNT, HEALTHY_AFTER_S, MISSING_PACKAGE_STATUS

_FIRST_DELAY_S = 0.1
_LONGEST_DELAY_S = 5.0


@dataclasses.dataclass(slots=True)
class RestartHistory:
    """What one supervised process did so far, and how long to wait before its next start."""

    restarts: int = 0
    early_deaths: int = 0
    """Deaths in a row within `HEALTHY_AFTER_S` of the start."""
    last_exit: int | None = None
    """Exit status; negative is the signal that killed it; None: never died."""

    def observe_exit(self, exit_status: int, ran_s: float) -> float:
        """Note a death after ``ran_s``; return the delay in seconds before the restart."""
        self.restarts += 1
        self.last_exit = exit_status
        if ran_s >= HEALTHY_AFTER_S:
            self.early_deaths = 0
            return _FIRST_DELAY_S
        self.early_deaths += 1
        # The exponent is bounded because a float overflows after a thousand deaths.
        doublings = min(self.early_deaths - 1, 10)
        return float(min(_FIRST_DELAY_S * 2**doublings, _LONGEST_DELAY_S))


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """Which replica indices to start and, once those are started, which to stop."""

    start: tuple[int, ...]
    stop: tuple[int, ...]


def plan_replicas(desired: int, wanted_spec: str, running: Mapping[int, str]) -> ReplicaPlan:
    """Return the steps from ``running`` (index → specification) to ``desired`` replicas.

    Replicas of another specification are replaced under new indices, never mixed. Surplus ones
    leave from the highest index down.
    """
    current = sorted(index for index, spec in running.items() if spec == wanted_spec)
    stale = sorted(set(running) - set(current))
    start: list[int] = []
    index = 0
    while len(current) + len(start) < desired:
        if index not in running:
            start.append(index)
        index += 1
    surplus = current[max(desired, 0) :]
    return ReplicaPlan(tuple(start), (*surplus, *stale))


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaView:
    """The state of one supervised process as its status reports it."""

    early_deaths: int
    last_exit: int | None
    uptime_s: float | None
    """None while it does not run."""


def failing(replicas: Sequence[ReplicaView]) -> ReplicaView | None:
    """Return a replica that shows why the service does not stay up, or None if it does.

    It does not when its replicas died twice, in sum, soon after their starts, or once for want of
    a package, which no restart mends. One that runs longer than that now is forgiven.
    """
    suspects = [
        replica
        for replica in replicas
        if replica.early_deaths and (replica.uptime_s is None or replica.uptime_s < HEALTHY_AFTER_S)
    ]
    hopeless = [r for r in suspects if r.last_exit == MISSING_PACKAGE_STATUS]
    if hopeless:
        return hopeless[0]
    if sum(replica.early_deaths for replica in suspects) < DEATHS_THAT_COUNT:
        return None
    return max(suspects, key=lambda replica: replica.early_deaths)
