"""What no server can do better than: the fewest queries that any schedule must miss.

One replica computes batches one after the other, each at the exact time of its cost model. Whoever
knows every arrival in advance, sends nothing over a wire and may take batches of any size can still
miss queries: those that come too close together. How many is found exactly, by dynamic programming
over the order of arrival.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

from benchmarks.simulation.cost import CostModel


def fewest_missed(
    arrivals_s: Sequence[float], slo_s: float, model: CostModel, counted_from: int = 0
) -> int:
    """Return how many queries the best schedule in hindsight answers too late.

    All queries have the same objective, so some best schedule serves in order of arrival, and a
    batch holds consecutive queries: whatever it skips might as well be its oldest ones. After each
    query only two things matter, when the replica is free and how many were missed; of those the
    pairs are kept that no other one beats in both.

    Args:
        arrivals_s: when queries come, ascending.
        slo_s: how long after its arrival a query must be answered.
        model: what a batch costs.
        counted_from: earlier queries load the replica, but missing them costs nothing.
    """
    count = len(arrivals_s)
    largest = model.largest(slo_s)
    seconds = [model.seconds(size) for size in range(largest + 1)]
    # What may be the best until query n - 1 is decided: (free from, missed).
    reached: list[list[tuple[float, int]]] = [[] for _ in range(count + 1)]
    reached[0].append((-math.inf, 0))
    for first in range(count):
        here_s = arrivals_s[first]
        deadline_s = here_s + slo_s + 1e-12
        cost = 1 if first >= counted_from else 0
        sizes = min(largest, count - first)
        for free_s, missed in _unbeaten(reached[first], here_s):
            reached[first + 1].append((free_s, missed + cost))
            for size in range(1, sizes + 1):
                last_s = arrivals_s[first + size - 1]
                done_s = (free_s if free_s > last_s else last_s) + seconds[size]
                if done_s > deadline_s:
                    break
                reached[first + size].append((done_s, missed))
        reached[first] = []
    return min(missed for _, missed in reached[count])


def _unbeaten(states: list[tuple[float, int]], now_s: float) -> list[tuple[float, int]]:
    """Return the states that no other beats; being free before ``now_s`` is worth nothing."""
    kept: list[tuple[float, int]] = []
    least = math.inf
    for free_s, missed in sorted((max(free_s, now_s), missed) for free_s, missed in states):
        if missed < least:
            kept.append((free_s, missed))
            least = missed
    return kept


def missed_online(
    arrivals_s: Sequence[float], slo_s: float, model: CostModel, counted_from: int = 0
) -> int:
    """Return how many queries a server misses that knows costs exactly, but not what will come.

    Earliest deadline first, no pipe: a batch is chosen at the moment at which it starts. The best
    of a few rules, so this is a server that could be built around an exact model, not a bound.
    """
    rate = (len(arrivals_s) - 1) / (arrivals_s[-1] - arrivals_s[0])
    return min(
        _missed_by_rule(arrivals_s, slo_s, model, counted_from, price * rate, charge)
        for price in (0.5, 0.7, 1.0)
        for charge in (0.0, 0.3, 0.6)
    )


def _missed_by_rule(
    arrivals_s: Sequence[float],
    slo_s: float,
    model: CostModel,
    counted_from: int,
    price: float,
    charge: float,
) -> int:
    """Serve the batch worth most: its queries, less ``price`` a second, ``charge`` a drop."""
    seconds = [model.seconds(size) for size in range(model.largest(slo_s) + 1)]
    count = len(arrivals_s)
    first = missed = 0
    free_s = 0.0
    while first < count:
        free_s = max(free_s, arrivals_s[first])
        queued = bisect.bisect_right(arrivals_s, free_s, first) - first
        best, dropped, served = -math.inf, queued, 0
        for skipped in range(queued):
            left_s = arrivals_s[first + skipped] + slo_s - free_s + 1e-12
            for size in range(1, queued - skipped + 1):
                if size >= len(seconds) or seconds[size] > left_s:
                    break
                worth = size - price * seconds[size] - charge * skipped
                if worth > best:
                    best, dropped, served = worth, skipped, size
        missed += max(0, first + dropped - max(first, counted_from))
        first += dropped + served
        free_s += seconds[served] if served else 0.0
    return missed
