"""When requests of an open loop are due: moments that do not depend on answers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_CHUNK = 4096


def arrivals(rate: float, duration_s: float, seed: int, cv: float = 1.0) -> Iterator[float]:
    """Yield moments in seconds from the start, before ``duration_s``.

    Args:
        rate: mean arrivals per second.
        seed: the same seed gives the same moments.
        cv: standard deviation of the gaps over their mean. Gaps are Gamma distributed: 1 is a
            Poisson process, below it arrivals are more regular, above it they come in bursts.
    """
    source = np.random.default_rng(seed)
    shape = 1.0 / cv**2
    scale_s = 1.0 / (rate * shape)
    moment_s = 0.0
    while True:
        moments = moment_s + np.cumsum(source.gamma(shape, scale_s, _CHUNK))
        moment_s = float(moments[-1])
        if moment_s >= duration_s:
            yield from moments[moments < duration_s].tolist()
            return
        yield from moments.tolist()


def zipf_numbers(keys: int, exponent: float, seed: int) -> Iterator[int]:
    """Yield numbers below ``keys`` for ever, number k with a probability like 1/(k+1)^exponent."""
    source = np.random.default_rng(seed)
    weights = 1.0 / np.arange(1, keys + 1) ** exponent
    bounds = np.cumsum(weights / weights.sum())
    while True:
        drawn = np.searchsorted(bounds, source.random(_CHUNK))
        yield from np.minimum(drawn, keys - 1).tolist()
