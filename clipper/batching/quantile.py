"""Quantile regression (NSDI'17 §4.3; algorithms §1.12): fit the 99th percentile of latency.

The latency of a batch is modelled as ``offset + slope · size`` at the 99th percentile; the cap is
the largest size whose modelled latency meets the objective. The original froze after 1,000
samples; here a sliding window is refitted for ever, so the policy follows a model that changes.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from clipper.batching.aimd import AimdPolicy
from clipper.batching.policy import BatchObservation, BatchSizePolicy

QUANTILE = 0.99
WINDOW = 1000
EXPLORE = 200
REFIT_EVERY = 50
_ITERATIONS = 60
_SMOOTHING_S = 1e-6


def fit_quantile_line(
    sizes: np.ndarray, latencies_s: np.ndarray, quantile: float
) -> tuple[float, float]:
    """Return (offset_s, slope_s_per_query) that minimise the pinball loss.

    Iteratively reweighted least squares: each residual is weighted by its pinball slope over its
    own size, which turns the absolute loss into a sequence of weighted squares.
    """
    design = np.column_stack([np.ones(len(sizes)), sizes.astype(float)])
    solution = np.linalg.lstsq(design, latencies_s, rcond=None)[0]
    for _ in range(_ITERATIONS):
        residuals = latencies_s - design @ solution
        pinball = np.where(residuals >= 0, quantile, 1 - quantile)
        weights = pinball / np.maximum(np.abs(residuals), _SMOOTHING_S)
        weighted = design * weights[:, None]
        update = np.linalg.lstsq(weighted.T @ design, weighted.T @ latencies_s, rcond=None)[0]
        if np.allclose(update, solution, rtol=1e-6, atol=1e-9):
            break
        solution = update
    return float(solution[0]), float(solution[1])


class QuantilePolicy(BatchSizePolicy):
    """Explores as AIMD does, then sets the cap from the fitted line."""

    def __init__(self, max_size: int = 1 << 16) -> None:
        self._explorer = AimdPolicy(max_size=max_size)
        self._samples: deque[tuple[int, float]] = deque(maxlen=WINDOW)
        self._seen = 0
        self._fitted: int | None = None
        self._max_size = max_size

    @property
    def cap(self) -> int:
        """Largest size whose modelled 99th percentile meets the objective."""
        return self._explorer.cap if self._fitted is None else self._fitted

    def observe(self, batch: BatchObservation) -> None:
        """Add a sample; refit from time to time."""
        self._samples.append((batch.size, batch.latency_s))
        self._seen += 1
        if self._seen < EXPLORE:
            self._explorer.observe(batch)
        elif self._fitted is None or self._seen % REFIT_EVERY == 0:
            self._fitted = self._fit(batch.objective_s)

    def _fit(self, objective_s: float) -> int:
        sizes, latencies = np.array(self._samples).T
        offset_s, slope_s = fit_quantile_line(sizes, latencies, QUANTILE)
        largest = int(sizes.max())
        if slope_s <= 0:
            # A flat or falling line says only that nothing seen so far was too large.
            return min(self._max_size, largest + 2) if offset_s < objective_s else 1
        fitted = int((objective_s - offset_s) / slope_s)
        # Never far beyond what was seen: the line is only known there.
        return max(1, min(fitted, 2 * largest, self._max_size))
