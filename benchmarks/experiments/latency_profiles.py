"""E1: latency by batch size of six models, as the additive-increase search walks through it.

Batches go straight to a real container, always as large as the controller allows; what is timed is
the round trip. A line through the medians predicts the largest batch within the objective. The
objective is 5 ms instead of the paper's 20: today's scikit-learn would need batches of ten thousand
digits to fill 20 ms.
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import uvloop
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, LinearSVC

from benchmarks.direct import direct_replica, packed_rows
from benchmarks.publishing import Result, panels
from benchmarks.verdict import Verdict, at_least, at_most, between
from clipper.batching.aimd import AimdPolicy
from clipper.batching.policy import BatchObservation

OBJECTIVE_S = 0.005
BATCHES = 1000
LONGEST_S = 10.0
"""A model's search ends after so long, however many batches there were."""
LARGEST = 2048
FITTED_FROM = 16
_BIN = 16
_TAIL = 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class Profile:
    """One model's search."""

    sizes: np.ndarray[Any, Any]
    latencies_s: np.ndarray[Any, Any]
    slope_s: float
    intercept_s: float
    fit: float
    """R² of the line through the medians."""
    steady_cap: float
    """Mean cap of the last quarter."""

    @property
    def predicted_cap(self) -> float:
        """Largest batch whose median is within the objective, by the line."""
        return max(1.0, min(LARGEST, (OBJECTIVE_S - self.intercept_s) / self.slope_s))


def run() -> Result:
    """Profile all models."""
    inputs, labels = load_digits(return_X_y=True)
    packed = packed_rows(inputs)
    profiles = {
        name: uvloop.run(_search(function, packed))
        for name, function in _functions(inputs, labels).items()
    }
    rows = [
        {"model": name, "batch": int(size), "latency_s": float(latency_s)}
        for name, profile in profiles.items()
        for size, latency_s in zip(profile.sizes, profile.latencies_s, strict=True)
    ]
    figure, axes = panels(len(profiles))
    for axis, (name, profile) in zip(axes, profiles.items(), strict=True):
        late = profile.latencies_s >= OBJECTIVE_S
        axis.plot(profile.sizes[~late], profile.latencies_s[~late] * 1e3, ".", markersize=2)
        axis.plot(profile.sizes[late], profile.latencies_s[late] * 1e3, "r.", markersize=3)
        ends = np.array([1, profile.sizes.max()])
        axis.plot(ends, (profile.intercept_s + profile.slope_s * ends) * 1e3, "k-")
        axis.axhline(OBJECTIVE_S * 1e3, color="red", linestyle="--")
        axis.set(title=name, xlabel="batch", ylabel="ms", ylim=(0, 2 * OBJECTIVE_S * 1e3))
    notes = [
        f"{name}: {profile.intercept_s * 1e6:.0f} µs + {profile.slope_s * 1e6:.2f} µs per input"
        for name, profile in profiles.items()
    ]
    return Result("e01", "Latency profiles", rows, _verdicts(profiles), figure, notes)


def _functions(
    inputs: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
) -> dict[str, Callable[[Any], Any]]:
    estimators = {
        "linear SVM": LinearSVC(max_iter=200, tol=0.1),
        "logistic regression": LogisticRegression(max_iter=50, tol=0.1),
        "random forest": RandomForestClassifier(10, max_depth=16, random_state=7, n_jobs=1),
        "RBF SVM": SVC(),
        "kNN": KNeighborsClassifier(),
    }

    def predicting(estimator: Any) -> Callable[[Any], Any]:
        fitted = estimator.fit(inputs, labels)
        return lambda batch: fitted.predict(batch)

    functions = {name: predicting(estimator) for name, estimator in estimators.items()}
    return {"no-op": lambda batch: [1.0] * len(batch), **functions}


async def _search(function: Callable[[Any], Any], packed: list[bytes]) -> Profile:
    policy = AimdPolicy(max_size=LARGEST)
    rows = itertools.cycle(packed)
    sizes, latencies_s, caps = [], [], []
    async with direct_replica(function) as replica:
        await replica.send(list(itertools.islice(rows, 1)))
        end_s = time.monotonic() + LONGEST_S
        for _ in range(BATCHES):
            timed = await replica.send(list(itertools.islice(rows, policy.cap)))
            sizes.append(timed.size)
            latencies_s.append(timed.round_trip_s)
            policy.observe(BatchObservation(timed.size, True, timed.round_trip_s, OBJECTIVE_S))
            caps.append(policy.cap)
            if time.monotonic() > end_s:
                break
    return _profile(np.array(sizes), np.array(latencies_s), np.array(caps))


def _profile(
    sizes: np.ndarray[Any, Any], latencies_s: np.ndarray[Any, Any], caps: np.ndarray[Any, Any]
) -> Profile:
    bins = sizes // _BIN if sizes.max() >= 4 * _BIN else sizes
    centres = np.array([sizes[bins == number].mean() for number in np.unique(bins)])
    medians = np.array([np.median(latencies_s[bins == number]) for number in np.unique(bins)])
    kept = centres >= FITTED_FROM if sizes.max() >= 4 * _BIN else centres >= 1
    slope_s, intercept_s = np.polyfit(centres[kept], medians[kept], 1)
    rest = medians[kept] - (intercept_s + slope_s * centres[kept])
    fit = 1 - (rest**2).sum() / ((medians[kept] - medians[kept].mean()) ** 2).sum()
    tail = caps[-max(1, int(_TAIL * len(caps))) :]
    return Profile(sizes, latencies_s, float(slope_s), float(intercept_s), fit, float(tail.mean()))


def _verdicts(profiles: dict[str, Profile]) -> list[Verdict]:
    slopes = [profile.slope_s for profile in profiles.values()]
    found = [at_least("largest / smallest slope", max(slopes) / min(slopes), 50)]
    for name, profile in profiles.items():
        found.append(at_least(f"{name}: R² of the line through the medians", profile.fit, 0.95))
        ratio = profile.predicted_cap / profile.steady_cap
        note = f"{profile.predicted_cap:.0f} predicted, {profile.steady_cap:.0f} found"
        found.append(between(f"{name}: predicted / steady cap", ratio, 0.8, 1.2, note))
    late = [profile.latencies_s[_backed_off(profile.sizes)] for profile in profiles.values()]
    earliest_s = min((float(part.min()) for part in late if part.size), default=OBJECTIVE_S)
    found.append(
        at_most("objective / fastest batch that made the cap fall", OBJECTIVE_S / earliest_s, 1)
    )
    return found


def _backed_off(sizes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return where the next batch was smaller."""
    return np.append(sizes[1:] < sizes[:-1], False)
