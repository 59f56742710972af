"""Thompson sampling (Thompson 1933): each model as often as it is likely to be the best.

Instead of drawing a success rate for every model and asking the winner, the probability of winning
is computed and the model is drawn with it. The queries go to the same models, and the propensity of
each choice is known exactly, as evaluation of other policies on the logged feedback requires.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

import numpy as np

from clipper.selection.policy import Arm, Asker, Choice, State
from clipper.selection.single import CountingPolicy, ask_at_random
from clipper.selection.tallies import read_tallies

_SPREADS = np.linspace(-5.0, 5.0, 51)
"""Where densities are evaluated, in standard deviations from each mean."""


class ThompsonPolicy(CountingPolicy):
    """Asks each model with the probability that it is the best one, as far as is known."""

    name = "thompson"

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Draw an arm by its probability of having the highest success rate."""
        tallies = read_tallies(state, arms)
        posteriors = tuple(
            (1.0 + max(0.0, tally.count - tally.loss), 1.0 + tally.loss) for tally in tallies
        )
        return ask_at_random(arms, win_probabilities(posteriors), rng)


@functools.lru_cache(maxsize=1024)
def win_probabilities(posteriors: tuple[tuple[float, float], ...]) -> tuple[float, ...]:
    """Return the probability of being the largest for each of several Beta variables.

    Args:
        posteriors: both parameters of each, at least 1.

    Integrates over points that are dense where any of the densities is; good to about 0.001.
    Remembered, because between two feedbacks every query asks for the same.
    """
    if len(posteriors) == 1:
        return (1.0,)
    a, b = np.array(posteriors).T[:, :, None]
    total = a + b
    mean = a / total
    spread = np.sqrt(a * b / (total * total * (total + 1.0)))
    points = np.clip(mean + spread * _SPREADS, 1e-12, 1.0 - 1e-12).ravel()
    points.sort()
    logs = (a - 1.0) * np.log(points) + (b - 1.0) * np.log1p(-points)
    densities = np.exp(logs - logs.max(axis=1, keepdims=True))
    masses = (densities[:, 1:] + densities[:, :-1]) * (points[1:] - points[:-1])
    masses /= masses.sum(axis=1, keepdims=True)
    below = np.log(np.maximum(masses.cumsum(axis=1) - masses / 2.0, 1e-300))
    wins = (masses * np.exp(below.sum(axis=0) - below)).sum(axis=1)
    probabilities: list[float] = (wins / wins.sum()).tolist()
    return tuple(probabilities)
