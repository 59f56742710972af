"""What the dispatchers of one model version share: whom to wake when work arrives."""

from __future__ import annotations

from typing import Protocol

from clipper.batching.ports import DispatchObserver, DispatchSettings, ReplicaPort, TaskSink
from clipper.clock import Clock


class Feeder(Protocol):
    """A dispatcher, as the lane sees it."""

    replica: ReplicaPort
    suspect: bool
    draining: bool

    @property
    def can_send(self) -> bool:
        """Whether a batch could leave now, were there one."""

    @property
    def outstanding(self) -> int:
        """Batches sent and not yet answered."""

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
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.sink = sink
        self.observer = observer
        self.generation = generation
        self.objective_s = 1.0
        self.dispatchers: list[Feeder] = []
        self._scheduled = False

    def set_slo(self, slo_s: float) -> None:
        """Steer batches to the tightest latency objective among the applications."""
        self.objective_s = slo_s * self.settings.objective_share

    @property
    def has_healthy(self) -> bool:
        """Whether a replica of this version is being fed."""
        return any(not (other.suspect or other.draining) for other in self.dispatchers)

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
        free = [dispatcher for dispatcher in self.dispatchers if dispatcher.can_send]
        if free:
            min(free, key=lambda dispatcher: dispatcher.outstanding).pump()
        for dispatcher in self.dispatchers:
            if not dispatcher.replica.holds_credits:
                dispatcher.pump()
