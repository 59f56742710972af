"""The event loop's lag, and how far ahead of time a batch has to leave because of it. Pure."""

from __future__ import annotations

SMOOTHING = 0.1
_FIRST_LEAD_S = 0.0005
_LEAST_LEAD_S = 0.0001
_MOST_LEAD_S = 0.010
_IN_TIME_S = 0.00015
"""An idle container needs about 0.1 ms to hand a batch from its receiving thread to its model."""
_LONGER, _SHORTER = 1.08, 0.98


class LagEstimate:
    """How long after its moment something happens in this event loop.

    Every reply waits so long before it is handled, so budgets and predicted finishing times
    subtract it. Batch sizes never follow it: smaller batches would only add to the work that lags.
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0

    def observe(self, lag_s: float) -> None:
        """Take one measured lag. A single pause of the process counts for a tenth of itself."""
        self.seconds += SMOOTHING * (max(0.0, lag_s) - self.seconds)

    def within(self, slo_s: float) -> float:
        """Return the seconds to subtract under an objective: never more than a tenth of it.

        A worker that is late by a large part of the objective would otherwise give up every
        query, and with them its only chance to work in larger batches and catch up.
        """
        return min(self.seconds, 0.1 * slo_s)


class SendLead:
    """How long before the end of one batch the next should leave.

    It has to cover the message, its decoding, timers that fire late, and errors of the prediction:
    then the container never idles. Whatever it is longer than that freezes the batch's contents
    too early. Containers say how long a batch waited for the one before it; from that the lead
    settles where about one batch in five comes too late (ln 1.08 / -ln 0.98 ≈ 4).
    """

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = _FIRST_LEAD_S

    def observe(self, queue_s: float) -> None:
        """Learn from how long a batch that was held back until now waited in the container."""
        if queue_s < _IN_TIME_S:
            self.seconds = min(_MOST_LEAD_S, self.seconds * _LONGER)
        else:
            self.seconds = max(_LEAST_LEAD_S, self.seconds * _SHORTER)
