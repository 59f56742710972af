"""When queries come: open-loop streams of arrival times in seconds, ascending, seeded."""

from __future__ import annotations

import random
from collections.abc import Iterator


def poisson(rate: float, start_s: float, end_s: float, seed: int) -> Iterator[float]:
    """Yield a Poisson process of ``rate`` per second."""
    rng = random.Random(seed)
    at_s = start_s
    while (at_s := at_s + rng.expovariate(rate)) < end_s:
        yield at_s


def gamma(
    rate: float, squared_cv: float, start_s: float, end_s: float, seed: int
) -> Iterator[float]:
    """Yield a renewal process with Gamma intervals of mean ``1 / rate``.

    ``squared_cv`` is variance over squared mean, as in InferLine: 1 is Poisson, 4 is bursty.
    """
    rng = random.Random(seed)
    shape, scale = 1 / squared_cv, squared_cv / rate
    at_s = start_s
    while (at_s := at_s + rng.gammavariate(shape, scale)) < end_s:
        yield at_s
