"""Whether clients come back at once, and a batch should wait for them. Pure.

Clients in a closed loop ask again within moments of their answer. A batch that leaves with the
first of them leaves the others to a second one, and both cost what a batch costs whatever its size:
two small batches take turns for ever. Waiting for all of them makes one batch of the two. It pays
only where they do come back, and where that takes less time than a second batch costs; both are
learnt from what comes after an answer. Poisson arrivals never look like that: as many queries as a
batch holds take as long to come as the batch takes.
"""

from __future__ import annotations

WINDOW_SHARE = 0.75
"""Of the time that a batch costs whatever its size: what is not back by then is not waited for. The
rest pays for handing over the batch while the model is idle."""
SMOOTHING = 0.1
_SURE = 0.8
"""So large a share of the answered must have come back, on average, to be waited for."""


class Returns:
    """Counts the queries that arrive in a window after each answer.

    A queue tells of arrivals, its dispatchers of answers. Times in seconds of their clock.
    """

    __slots__ = ("_back", "_count", "_share", "_window_s", "answered_s", "window_end_s")

    def __init__(self) -> None:
        self.answered_s = float("-inf")
        """When the last batch was answered."""
        self.window_end_s = float("-inf")
        """Until when an arrival counts as a return."""
        self._count = 0
        self._back = 0
        self._share = 0.0
        self._window_s = 0.0

    @property
    def wait_s(self) -> float:
        """How long after an answer the next batch may wait for returns; 0 when it should not."""
        return self._window_s if self._share >= _SURE else 0.0

    @property
    def awaited(self) -> int:
        """How many of those who were answered last are expected and not back yet."""
        return max(0, int(self._share * self._count + 0.5) - self._back)

    @property
    def complete(self) -> bool:
        """Whether nobody is awaited."""
        return not self.awaited

    def arrived(self) -> None:
        """A query came before the end of the window."""
        self._back += 1

    def answered(self, now_s: float, count: int, fixed_s: float | None) -> None:
        """Learn from the window before, and open one for the ``count`` queries answered now.

        ``fixed_s`` is what a batch costs whatever its size; None where batches of one size do not
        show it, which leaves what was known.
        """
        if self._count and now_s >= self.window_end_s:
            back = min(1.0, self._back / self._count)
            self._share += SMOOTHING * (back - self._share)
        if fixed_s is not None:
            self._window_s = WINDOW_SHARE * fixed_s
        self._count, self._back = count, 0
        self.answered_s = now_s
        self.window_end_s = now_s + self._window_s
