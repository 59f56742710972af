"""A fast and a slow model in containers, asked alone and as a cascade, over REST."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import requests

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import HOST
from benchmarks.selection.experts import digits, five_models

FAST_S = 0.02
_SLO_S = 1.0
_TIMEOUT_S = 10.0
_QUERIES = 300
_WARMUP = 20


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """One application, asked one query after the other."""

    name: str
    latencies_s: list[float]
    accuracy: float

    @property
    def mean_s(self) -> float:
        """Mean latency as the client sees it."""
        return statistics.fmean(self.latencies_s)


def serve_cascade(options: dict[str, Any], slow_cost: float) -> list[Served]:
    """Return what the fast model, the slow one and the cascade of both do, in this order."""
    fast, slow = five_models()[-2:]
    names = ("logistic-third", "rbf-svm")
    with cluster() as running:
        # Without a cache: the three applications are asked the same.
        running.deploy(names[0], answering(fast, FAST_S), cache=False)
        running.deploy(names[1], answering(slow, slow_cost * FAST_S), cache=False)
        for name in names:
            running.register(name, name, _SLO_S)
        running.connection.register_application(
            "cascade",
            "doubles",
            "-1",
            round(_SLO_S * 1e6),
            policy="cascade",
            policy_options=options,
        )
        for name in names:
            running.connection.link_model_to_app("cascade", name)
        return [_ask(running, name) for name in (*names, "cascade")]


def answering(model: Any, least_s: float) -> Callable[[Any], list[Any]]:
    """Return a function for a container: the model's answers, no sooner than after a time."""

    def predict(inputs: Any) -> list[Any]:
        import json

        import numpy as np

        begun_s = time.monotonic()
        answers = []
        for row in model.predict_proba(np.asarray(inputs)):
            chances = [min(1.0, max(0.0, round(float(chance), 4))) for chance in row]
            answers.append(json.dumps({"label": int(row.argmax()), "probabilities": chances}))
        time.sleep(max(0.0, begun_s + least_s - time.monotonic()))
        return answers

    return predict


def _ask(running: Cluster, app: str) -> Served:
    split = digits()
    latencies_s, right = [], 0
    url = f"http://{HOST}:{running.port}/{app}/predict"
    with requests.Session() as session:
        for number in range(-_WARMUP, _QUERIES):
            pixels = split.inputs[number].tolist()
            begun_s = time.perf_counter()
            reply = session.post(url, json={"input": pixels}, timeout=_TIMEOUT_S).json()
            if number >= 0:
                latencies_s.append(time.perf_counter() - begun_s)
                right += _label(reply["output"]) == split.labels[number]
    return Served(app, latencies_s, right / _QUERIES)


def _label(output: Any) -> Any:
    return output["label"] if isinstance(output, dict) else output
