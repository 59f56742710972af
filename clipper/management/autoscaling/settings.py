"""Settings of the built-in autoscaler."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class ScalingSettings:
    """How eagerly replicas are added and removed. `decision` explains the terms."""

    interval_s: float = 5.0
    """Time between two decisions."""
    target_busy_share: float = 0.7
    """Share of its time that a replica should compute; more than that makes the number grow."""
    keep_busy_share: float = 0.6
    """Share that replicas may compute after a step down; the distance to the above is the
    hysteresis."""
    wait_share: float = 0.5
    """Share of the latency objective that waiting in the queue may take. Half is what batching
    plans for: a query waits behind one batch and is answered with the next."""
    wait_quantile: float = 0.95
    """Of the queries, so many must not wait longer."""
    miss_share: float = 0.01
    """Share of the queries that may miss their deadlines."""
    min_misses: float = 3.0
    """Fewer missed deadlines say nothing."""
    min_queries: float = 20.0
    """Of fewer queries no quantile is taken."""
    pressed_ticks: int = 2
    """A long wait that the load does not explain must be seen so often in a row: a pause of one
    machine is no reason to start others."""
    settle_s: float = 10.0
    """So long after a replica became ready, queues are still being worked off."""
    averaging_s: float = 15.0
    """The load is averaged over this time."""
    cool_down_s: float = 60.0
    """So long fewer replicas must have been enough before some are removed."""
    max_added: int = 4
    """One step up adds this many or doubles the number, whichever is more."""
    max_removed_of: int = 4
    """One step down removes one replica of so many, at least one."""
    memory_s: float = 900.0
    """How long costs at other batch sizes are remembered."""
    lesson_s: float = 3600.0
    """How long a rate that was too much for a replica is remembered."""
    overrun_share: float = 0.85
    """Share of a rate that was too much for a replica which it may get again meanwhile."""
    max_gap_s: float = 30.0
    """After so long without measurements the cool-down begins afresh."""

    def __post_init__(self) -> None:
        if not 0 < self.keep_busy_share < self.target_busy_share <= 1:
            raise ValueError("0 < keep_busy_share < target_busy_share <= 1 is needed")
