"""How long a container computes a batch: a simulated one, or a real one that was measured."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class CostModel:
    """Seconds for a batch of b queries: ``beta + alpha · b``."""

    alpha_s: float
    """For each query."""
    beta_s: float
    """For each batch, whatever its size."""

    def seconds(self, size: int) -> float:
        """Return how long a batch takes."""
        return self.beta_s + self.alpha_s * size

    def largest(self, seconds: float) -> int:
        """Return the largest batch that takes no longer than ``seconds``; 0 when none does."""
        # A grid of decimal figures must not lose a whole query to the last bit of a quotient.
        return max(0, math.floor((seconds - self.beta_s) / self.alpha_s + 1e-9))

    def achievable(self, slo_s: float, depth: int) -> float:
        """Return queries per second of the largest batch with ``depth · t(b) ≤ slo_s``."""
        size = self.largest(slo_s / depth)
        return size / self.seconds(size) if size else 0.0


def fitted(sizes: Sequence[int], seconds: Sequence[float]) -> CostModel:
    """Return the line with the least relative errors, neither of its two costs below zero."""
    slope_s, fixed_s = np.polyfit(sizes, seconds, 1, w=1 / np.asarray(seconds))
    return CostModel(max(float(slope_s), 1e-9), max(float(fixed_s), 0.0))


def rescaled(cost: CostModel, batches: float, queries: float, computed_s: float) -> CostModel:
    """Return ``cost``, made as slow as these batches together were; unchanged without any."""
    planned_s = batches * cost.beta_s + queries * cost.alpha_s
    factor = computed_s / planned_s if planned_s > 0 else 1.0
    return CostModel(cost.alpha_s * factor, cost.beta_s * factor)


def steady(model: CostModel) -> Callable[[int, float], float]:
    """Return what a batch of a size takes at a time: always what the model says."""
    return lambda size, _now_s: model.seconds(size)


def noisy(
    model: CostModel, spread: float, rng: random.Random, hiccup_share: float = 0.0
) -> Callable[[int, float], float]:
    """Return times with lognormal noise of relative ``spread``, its median the model's.

    ``hiccup_share`` of the batches take three times as long besides: collections, other processes.
    """

    def seconds(size: int, _now_s: float) -> float:
        factor = math.exp(rng.gauss(0.0, spread))
        if hiccup_share and rng.random() < hiccup_share:
            factor *= 3.0
        return model.seconds(size) * factor

    return seconds


def slowed(
    model: CostModel, factor: float, from_s: float, until_s: float
) -> Callable[[int, float], float]:
    """Return the model's times, ``factor`` times as long for batches that start in an interval."""

    def seconds(size: int, now_s: float) -> float:
        return model.seconds(size) * (factor if from_s <= now_s < until_s else 1.0)

    return seconds
