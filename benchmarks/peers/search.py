"""Which rate to try next, when looking for the highest that a server sustains."""

from __future__ import annotations

import math

_CLOSE_ENOUGH = 1.02
"""Bracket's upper over its lower end: runs of some seconds do not tell finer differences."""
_LEAST_RATE = 10.0
"""Requests per second. A server that fails here sustains nothing worth telling."""


class RateSearch:
    """Steps by a factor until one rate passes and a higher one fails, then bisects between them.

    Bisection is geometric: a rate's error counts as a share of it.
    """

    def __init__(self, first: float, factor: float, probes: int) -> None:
        """Begin.

        Args:
            first: the rate to try first, per second.
            factor: how far to step while one end of the bracket is open; above 1.
            probes: how many rates to try at most.
        """
        self._next = max(first, _LEAST_RATE)
        self._factor = factor
        self._left = probes
        self._passed = 0.0
        self._failed = math.inf

    @property
    def best(self) -> float:
        """The highest rate that passed, 0 if none did."""
        return self._passed

    def next_rate(self) -> float | None:
        """Return the rate to try, None when there is no more to learn."""
        settled = self._failed <= self._passed * _CLOSE_ENOUGH or self._failed <= _LEAST_RATE
        return None if settled or not self._left else self._next

    def observe(self, rate: float, passed: bool) -> None:
        """Take in what a try at ``rate`` showed."""
        self._left -= 1
        if passed:
            self._passed = max(self._passed, rate)
        else:
            self._failed = min(self._failed, rate)
        if self._failed == math.inf:
            self._next = rate * self._factor
            self._factor **= 1.5  # the first rate came from a moment when less was possible
        elif not self._passed:
            self._next = max(rate / self._factor, _LEAST_RATE)
            self._factor *= 1.5  # far off: a server that sustains little is found in few tries
        else:
            self._next = math.sqrt(self._passed * self._failed)
