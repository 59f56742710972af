"""Notes when a replica is late with a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from clipper.batching.outstanding import Outstanding
from clipper.batching.ports import DispatchSettings
from clipper.clock import Cancellable, Clock

_EARLY_S = 0.001
"""So much before its time a timer of the event loop may fire."""


class Watchdog:
    """One timer for all batches of a replica: most are answered before it fires."""

    def __init__(
        self,
        clock: Clock,
        settings: DispatchSettings,
        outstanding: Mapping[int, Outstanding],
        on_late: Callable[[], None],
    ) -> None:
        """``on_late`` is called when batches among ``outstanding`` turned out to be late."""
        self._clock = clock
        self._settings = settings
        self._outstanding = outstanding
        self._on_late = on_late
        self._timer: Cancellable | None = None
        self._fires_s = float("inf")

    def watch(self, batch: Outstanding, expected_s: float) -> None:
        """Note when a batch that was sent just now is late, were it expected after so long."""
        delay_s = max(self._settings.late_factor * expected_s, self._settings.late_floor_s)
        batch.late_s = batch.sent_s + delay_s
        if batch.late_s < self._fires_s:
            self._fire_at(batch.late_s, delay_s)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _fire_at(self, late_s: float, delay_s: float) -> None:
        self.stop()
        self._fires_s = late_s
        self._timer = self._clock.call_later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._fires_s = float("inf")
        now_s = self._clock.now()
        next_s = float("inf")
        found = False
        for batch in self._outstanding.values():
            if batch.late:
                continue
            if batch.late_s > now_s + _EARLY_S:
                next_s = min(next_s, batch.late_s)
                continue
            batch.late = found = True
            for task in batch.tasks:
                # Once only: an input on which user code hangs must not take every replica in turn.
                task.stranded = not (task.queued or task.offered)
        if next_s < float("inf"):
            self._fire_at(next_s, next_s - now_s)
        if found:
            self._on_late()
