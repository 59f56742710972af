"""What the dispatchers of one model version share: whom to wake when work arrives."""

from __future__ import annotations

import math
from typing import Protocol

from clipper.batching.lag import LagEstimate
from clipper.batching.ports import DispatchObserver, DispatchSettings, ReplicaPort, TaskSink
from clipper.clock import Clock

_ANY_SLO_S = 1.0
"""The objective of a version that no application uses yet."""


class Feeder(Protocol):
    """A dispatcher, as the lane sees it."""

    replica: ReplicaPort
    suspect: bool
    draining: bool

    @property
    def can_send(self) -> bool:
        """Whether a batch could leave now, were there one."""

    @property
    def holding(self) -> bool:
        """Whether it will look by itself when it is time, and new work does not change that."""

    @property
    def outstanding(self) -> int:
        """Batches sent and not yet answered."""

    def finish_s(self, now_s: float, size: int) -> float:
        """Return when a batch that was sent now would be answered, as far as is known."""

    def pump(self) -> None:
        """Send the next batch if it is time."""

    def offer_stranded(self) -> None:
        """Put back what a suspect replica is late with."""


class DispatcherLane:
    """All dispatchers of one model version: whom to wake when work arrives.

    ``objective_s`` follows the tightest SLO of the applications that use the version.
    """

    def __init__(
        self,
        clock: Clock,
        settings: DispatchSettings,
        sink: TaskSink,
        observer: DispatchObserver,
        generation: int,
        lag: LagEstimate | None = None,
    ) -> None:
        """``lag`` is the event loop's, kept up to date by whoever measures it."""
        self.clock = clock
        self.settings = settings
        self.sink = sink
        self.observer = observer
        self.generation = generation
        self._lag = lag or LagEstimate()
        self.set_slo(_ANY_SLO_S)
        self.dispatchers: list[Feeder] = []
        self._scheduled = False

    def set_slo(self, slo_s: float) -> None:
        """Steer batches to the tightest latency objective among the applications."""
        self._slo_s = slo_s
        self.objective_s = slo_s * self.settings.objective_share

    @property
    def lag_s(self) -> float:
        """How long an answer waits for this event loop before it is handled."""
        return self._lag.within(self._slo_s)

    @property
    def has_healthy(self) -> bool:
        """Whether a replica of this version is being fed."""
        return any(not (other.suspect or other.draining) for other in self.dispatchers)

    def others_finish_s(self, feeder: Feeder, now_s: float, size: int) -> float:
        """Return when the best other replica would answer a batch; infinite without one.

        A suspect one counts: it may answer at any moment, and giving up what only it could
        answer in time would empty the whole queue for a stall of some milliseconds.
        """
        if len(self.dispatchers) == 1:
            return math.inf
        return min(
            (
                other.finish_s(now_s, size)
                for other in self.dispatchers
                if other is not feeder and not other.draining
            ),
            default=math.inf,
        )

    def rescue(self) -> None:
        """Offer what suspect replicas are late with to the others, if there are any."""
        if self.has_healthy:
            for dispatcher in self.dispatchers:
                dispatcher.offer_stranded()
            self.wake()

    def wake(self) -> None:
        """Have a free replica look at the queue, once what runs now has queued all its work."""
        if not self._scheduled:
            self._scheduled = True
            self.clock.call_soon(self._wake_now)

    def _wake_now(self) -> None:
        self._scheduled = False
        if len(self.dispatchers) == 1:
            # The usual case, asked for nearly every query.
            if not self.dispatchers[0].holding:
                self.dispatchers[0].pump()
            return
        free = [dispatcher for dispatcher in self.dispatchers if dispatcher.can_send]
        if free:
            now_s = self.clock.now()
            # Among the equally free the fastest: a slow one is for what the others cannot take.
            min(free, key=lambda feeder: (feeder.outstanding, feeder.finish_s(now_s, 1))).pump()
        for dispatcher in self.dispatchers:
            if not dispatcher.replica.holds_credits:
                dispatcher.pump()
