"""Ratios between lines of the ladder, and what to think of them.

Absolute numbers do not carry over from machine to machine, so nothing here fails on one: a line is
compared with another line of the same run.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

EXPECTED_MISS_SHARE = {1: 6.8 / 38, 32: 50 / 53, 128: 41 / 43}
"""A miss in the prototype of the predict path, as a share of the uvicorn line, by concurrency.

Taken on a machine where client, frontend and container each had processors to themselves.
"""
TOLERANCE = 0.05
"""Repeated runs differ by about this share: less below the expectation counts as reaching it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """One measured ratio beside the expected one."""

    concurrency: int
    ratio: float
    expected: float

    @property
    def text(self) -> str:
        """``at or above`` or ``below``."""
        reached = self.ratio >= self.expected * (1 - TOLERANCE)
        return "at or above" if reached else "below"


def ratios_to_line_above(throughputs: Sequence[float]) -> list[float]:
    """Return each line's throughput as a share of the line above; nan for the first."""
    pairs = itertools.pairwise(throughputs)
    return [math.nan, *(below / above if above else math.nan for above, below in pairs)]


def verdicts(reference: Mapping[int, float], miss: Mapping[int, float]) -> list[Verdict]:
    """Judge the miss line against the uvicorn line, where an expectation exists.

    Args:
        reference: throughput of the uvicorn line by concurrency.
        miss: throughput of the miss line by concurrency.
    """
    return [
        Verdict(concurrency, miss[concurrency] / reference[concurrency], expected)
        for concurrency, expected in EXPECTED_MISS_SHARE.items()
        if concurrency in miss and reference.get(concurrency)
    ]
