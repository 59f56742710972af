"""Mean, spread and percentiles out of a histogram's buckets."""

from __future__ import annotations

import math

from clipper.metrics.snapshot import HistogramValue


def mean(value: HistogramValue) -> float:
    """Return the exact mean; NaN when nothing was observed."""
    count = sum(value["counts"])
    return value["sum"] / count if count else math.nan


def std_dev(value: HistogramValue) -> float:
    """Return the exact population standard deviation; NaN when nothing was observed."""
    count = sum(value["counts"])
    if not count:
        return math.nan
    variance = value["sum_squares"] / count - (value["sum"] / count) ** 2
    return math.sqrt(max(0.0, variance))


def percentile(value: HistogramValue, bounds: list[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of the observations do not exceed.

    Values are taken to lie evenly within their bucket, and buckets to end at the smallest and
    the largest value seen. NaN when nothing was observed.
    """
    low, high = value["min"], value["max"]
    if low is None or high is None:
        return math.nan
    rank = share * sum(value["counts"])
    below = 0
    for index, count in enumerate(value["counts"]):
        if count and below + count >= rank:
            start = max(low, bounds[index - 1]) if index else low
            end = min(high, bounds[index]) if index < len(bounds) else high
            return start + (end - start) * max(0.0, rank - below) / count
        below += count
    return high
