"""The two models that every server serves, and inputs with the answers that are right for them.

Imported by the harness and, in each rival's own environment, by what serves the model there: it
needs nothing but numpy, scikit-learn and joblib, which have the same versions everywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

WORKLOADS = ("forest", "accelerator")
DIMENSIONS = {"forest": 64, "accelerator": 8}
"""Doubles in one input."""

FOREST_TREES = 22
"""About 2 ms for a batch of 1 to 128 on the machine this was chosen on: the cost is in calling the
trees, not in the rows."""
_FOREST_FILE = "forest.joblib"

ACCELERATOR_BATCH_S = 0.002
"""Seconds that a batch costs, whatever its size."""
ACCELERATOR_ITEM_S = 0.00005
"""Seconds that each item adds."""

DIRECTORY_VARIABLE = "PEERS_MODELS"
WORKLOAD_VARIABLE = "PEERS_WORKLOAD"

Predict = Callable[[Any], np.ndarray]
"""Rows of doubles (an array or a sequence of sequences) to one number for each row."""


def prepare(directory: Path) -> None:
    """Train the forest and save it, unless that was done before."""
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier

    path = forest_file(directory)
    if path.exists():
        return
    import joblib

    inputs, labels = load_digits(return_X_y=True)
    forest = RandomForestClassifier(FOREST_TREES, random_state=7, n_jobs=1).fit(inputs, labels)
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    joblib.dump(forest, unfinished)
    unfinished.rename(path)


def forest_file(directory: Path) -> Path:
    """Return where the trained forest is; the name changes with its size."""
    return directory / f"{FOREST_TREES}-{_FOREST_FILE}"


def load(name: str, directory: Path) -> Predict:
    """Return the model ``name``; the forest comes from ``directory``.

    Raises:
        FileNotFoundError: nobody called `prepare`.
    """
    if name == "accelerator":
        return accelerate
    import joblib

    forest = joblib.load(forest_file(directory))
    return lambda rows: forest.predict(np.asarray(rows, dtype=np.float64))


def load_from_environment() -> Predict:
    """Return the model that the harness wants served, as it says in the environment."""
    return load(os.environ[WORKLOAD_VARIABLE], Path(os.environ[DIRECTORY_VARIABLE]))


def accelerate(rows: Any) -> np.ndarray:
    """Keep one processor busy as long as the accelerator would be, then answer each row's sum.

    A spin, not a sleep: a model that computes competes for the processor and for Python's lock.
    """
    inputs = np.asarray(rows, dtype=np.float64)
    until_s = time.perf_counter() + accelerator_s(len(inputs))
    while time.perf_counter() < until_s:
        pass
    return inputs.sum(axis=1)


def accelerator_s(batch: int) -> float:
    """Return the seconds that a batch takes: t(b)."""
    return ACCELERATOR_BATCH_S + ACCELERATOR_ITEM_S * batch


def largest_batch(objective_s: float) -> int:
    """Return the largest b with 2·t(b) <= objective - 2 ms: two batches in the pipe, and slack."""
    return int(((objective_s - 0.002) / 2 - ACCELERATOR_BATCH_S) / ACCELERATOR_ITEM_S + 1e-9)


def samples(name: str, count: int, seed: int = 5) -> list[list[float]]:
    """Return inputs that differ in their answers: real digits, or random grey values."""
    if name == "forest":
        from sklearn.datasets import load_digits

        inputs, _ = load_digits(return_X_y=True)
        chosen = np.random.default_rng(seed).choice(len(inputs), count, replace=False)
        return [[float(value) for value in inputs[row]] for row in chosen]
    drawn = np.random.default_rng(seed).integers(0, 17, (count, DIMENSIONS[name]))
    return [[float(value) for value in row] for row in drawn]


def right(answers: Sequence[float], expected: Sequence[float]) -> bool:
    """Tell whether a server answered what the model answers."""
    return len(answers) == len(expected) and bool(np.allclose(answers, expected, atol=1e-9))
