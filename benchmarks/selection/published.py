"""The paper's figures, recomputed from its authors' public data.

Figure 8 (algorithms §1.8): CIFAR-10, 20,000 queries drawn with replacement, 50 trials; the best of
five models answers at random from query 5,000 to 10,000. Figure 9 (§1.10): ensembles on MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping

ACCURACIES = (0.750, 0.643, 0.818, 0.537, 0.896)
"""Of each model alone; the last one fails."""

SURVIVOR, FAILING = "best that lasts", "best, fails"

CUMULATIVE: Mapping[str, Mapping[int, float]] = {
    SURVIVOR: {5_000: 0.182, 10_000: 0.182, 20_000: 0.182},
    FAILING: {5_000: 0.104, 10_000: 0.502, 20_000: 0.303},
    "exp3": {5_000: 0.117, 10_000: 0.169, 20_000: 0.156},
    "exp4": {5_000: 0.110, 10_000: 0.160, 20_000: 0.147},
}
"""Mean error of all queries so far, after a number of queries."""

WINDOWS: Mapping[str, Mapping[tuple[int, int], float]] = {
    SURVIVOR: {(8_000, 10_000): 0.181},
    FAILING: {(5_000, 5_500): 0.902, (8_000, 10_000): 0.899, (18_000, 20_000): 0.104},
    "exp3": {(5_000, 5_500): 0.413, (8_000, 10_000): 0.196, (18_000, 20_000): 0.118},
    "exp4": {(5_000, 5_500): 0.312, (8_000, 10_000): 0.193, (18_000, 20_000): 0.120},
}
"""Mean error within a range of queries."""

ENSEMBLES: Mapping[int, float] = {
    1: 0.787, 2: 0.758, 3: 0.833, 4: 0.858, 6: 0.881, 8: 0.894, 10: 0.902, 12: 0.907, 16: 0.914,
}  # fmt: skip
"""Share of right answers by the number of forests that vote."""
