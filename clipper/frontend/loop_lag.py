"""Measures the event loop's lag: how late something that was due is run."""

from __future__ import annotations

from collections.abc import Callable

from clipper.batching.lag import LagEstimate
from clipper.clock import Cancellable, Clock

EVERY_S = 0.05
_TICK_S = 0.001
"""The loop counts in whole milliseconds: so much later than asked a timer may fire by itself."""


class LoopLagMonitor:
    """Compares the due time of a timer with the moment it fired, twenty times a second."""

    def __init__(
        self, clock: Clock, estimate: LagEstimate, observe: Callable[[float], None]
    ) -> None:
        """``observe`` is told each lag in seconds, for the metrics."""
        self._clock = clock
        self._estimate = estimate
        self._observe = observe
        self._due_s = 0.0
        self._timer: Cancellable | None = None

    def start(self) -> None:
        """Measure from now on."""
        self._due_s = self._clock.now() + EVERY_S
        self._timer = self._clock.call_later(EVERY_S, self._fired)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fired(self) -> None:
        lag_s = max(0.0, self._clock.now() - self._due_s - _TICK_S)
        self._estimate.observe(lag_s)
        self._observe(lag_s)
        self.start()
