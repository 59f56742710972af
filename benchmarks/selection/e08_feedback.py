"""E8: what the prediction cache is worth to feedback (NSDI'17 §4.2).

Four models vote in one application. A client predicts on an input that is new, and then sends the
labels of its last 1, 20 or 100 inputs, as to a policy that learns from a window. With the cache,
feedback finds the predictions it needs; without, the models compute them again. Once with models of
scikit-learn, which batches make cheap, and once with models that take as long as a kernel machine.
"""

from __future__ import annotations

import dataclasses
import http.client
import itertools
import json
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from benchmarks.cluster import Cluster, cluster
from benchmarks.models import digits_forest
from benchmarks.processes import HOST
from benchmarks.publishing import Result, panels
from benchmarks.selection.experts import digits
from benchmarks.selection.served_cascade import answering
from benchmarks.sleepers import sleeping
from benchmarks.verdict import Verdict, at_least

WINDOWS = (1, 20, 100)
PAPER = {1: 1.63, 20: 2.86, 100: 3.01}
"""With the cache over without, recomputed from the authors' data (algorithms §1.5)."""
_MODELS = 4
_CLIENTS = 2
_ROUNDS = 3
_ROUND_S = 3.0
_SLO_S = 5.0
_TIMEOUT_S = 60.0
CACHED, UNCACHED = "cached", "uncached"


@dataclasses.dataclass(frozen=True, slots=True)
class Round:
    """What the clients got done in one round."""

    observations: int
    seconds: float
    labels: int
    hits: float
    """Predictions that the cache had."""


def run() -> Result:
    """Run both applications in turn at every window, with either kind of models."""
    figure, axes = panels(len(_KINDS))
    rows: list[dict[str, Any]] = []
    verdicts: list[Verdict] = []
    notes = ["every label is on disk before it is acknowledged, with the cache and without"]
    for kind, axis in zip(_KINDS, axes, strict=True):
        rounds = _rounds(kind)
        ratios = [rate(rounds[CACHED, w]) / rate(rounds[UNCACHED, w]) for w in WINDOWS]
        shares = [hit_share(rounds[CACHED, window]) for window in WINDOWS]
        verdicts += _judge(kind, ratios, shares)
        rows += [
            {
                "models": kind,
                "window": window,
                "cache": app == CACHED,
                "observations_per_s": rate(rounds[app, window]),
                "update_hit_share": hit_share(rounds[app, window]) if app == CACHED else None,
            }
            for window in WINDOWS
            for app in (CACHED, UNCACHED)
        ]
        places = range(len(WINDOWS))
        axis.bar([p - 0.2 for p in places], ratios, 0.4, label=f"here, {kind} models")
        axis.bar([p + 0.2 for p in places], list(PAPER.values()), 0.4, label="the paper's data")
        axis.axhline(1.0, color="0.3", linewidth=1)
        axis.set_xticks(list(places), [str(window) for window in WINDOWS])
        axis.set(xlabel="labels per update", ylabel="observations with cache / without")
        axis.legend(fontsize=7)
    return Result("e08", "The cache and feedback", rows, verdicts, figure, notes)


def _rounds(kind: str) -> dict[tuple[str, int], list[Round]]:
    found: dict[tuple[str, int], list[Round]] = {}
    numbers = itertools.count()
    with cluster() as running:
        for app in (CACHED, UNCACHED):
            _deploy(running, app, _KINDS[kind]())
        for window in WINDOWS:
            for _ in range(_ROUNDS):
                for app in (CACHED, UNCACHED):
                    done = _round(running, app, window, numbers)
                    found.setdefault((app, window), []).append(done)
    return found


def rate(rounds: Sequence[Round]) -> float:
    """Return observations per second: a prediction and its update each."""
    return statistics.median(done.observations / done.seconds for done in rounds)


def hit_share(rounds: Sequence[Round]) -> float:
    """Return the share of the predictions needed by labels that the cache had.

    Inputs are new when they are predicted: all hits are feedback's.
    """
    wanted = _MODELS * sum(done.labels for done in rounds)
    return sum(done.hits for done in rounds) / wanted


def _judge(kind: str, ratios: Sequence[float], shares: Sequence[float]) -> list[Verdict]:
    least = min(after - before for before, after in itertools.pairwise(ratios))
    text = ", ".join(
        f"{ratio:.2f} at {window} (the paper's: {PAPER[window]})"
        for ratio, window in zip(ratios, WINDOWS, strict=True)
    )
    name = f"{kind} models: "
    return [
        at_least(f"{name}observations with the cache / without, window 1", ratios[0], 1.4, text),
        at_least(f"{name}least growth of this ratio from one window to the next", least, 0.0),
        at_least(f"{name}least share of predictions that updates find cached", min(shares), 0.95),
    ]


def _cheap() -> dict[str, Callable[[Any], Any]]:
    """Return models that take a fraction of a millisecond, the forest two, whatever the batch."""
    split = digits()
    models = {
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        "bayes": GaussianNB(),
        "logistic": LogisticRegression(max_iter=200),
        "forest": digits_forest(),
    }
    return {
        name: answering(model.fit(split.train_inputs, split.train_labels), 0.0)
        for name, model in models.items()
    }


def _dear() -> dict[str, Callable[[Any], Any]]:
    """Return models that take as long as the paper's kernel machine, by its median."""
    return {f"sleeper-{number}": sleeping(0.0026, 0.0046) for number in range(_MODELS)}


_KINDS = {"cheap": _cheap, "dear": _dear}


def _deploy(running: Cluster, app: str, models: Mapping[str, Callable[[Any], Any]]) -> None:
    connection = running.connection
    connection.register_application(
        app, "doubles", "-1", round(_SLO_S * 1e6), policy="exp4", policy_options={"variant": "a"}
    )
    for name, function in models.items():
        running.deploy(f"{app}-{name}", function, cache=app == CACHED)
        connection.link_model_to_app(app, f"{app}-{name}")


def _round(running: Cluster, app: str, window: int, numbers: Any) -> Round:
    clients = [_Client(running.port, app, window, numbers) for _ in range(_CLIENTS)]
    for client in clients:
        client.fill_window()
    hits = running.metric("clipper_cache_lookups_total", result="hit")
    end_s = time.monotonic() + _ROUND_S
    begun_s = time.monotonic()
    threads = [threading.Thread(target=client.run, args=(end_s,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun_s
    for client in clients:
        if client.error is not None:
            raise client.error
    return Round(
        sum(client.observations for client in clients),
        seconds,
        sum(client.labels for client in clients),
        running.metric("clipper_cache_lookups_total", result="hit") - hits,
    )


class _Client:
    """Predicts and sends labels, one after the other, until its time is up."""

    def __init__(self, port: int, app: str, window: int, numbers: Any) -> None:
        self.observations = 0
        self.labels = 0
        self.error: Exception | None = None
        self._connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_S)
        self._app = app
        self._numbers = numbers
        self._window: deque[dict[str, Any]] = deque(maxlen=window)

    def run(self, end_s: float) -> None:
        """Work; an error ends it and is kept."""
        try:
            while time.monotonic() < end_s:
                self._observe()
        except (OSError, http.client.HTTPException, RuntimeError) as error:
            self.error = error
        finally:
            self._connection.close()

    def fill_window(self) -> None:
        """Predict on a window of inputs: from the first update on, there are as many labels."""
        items = [self._next_item() for _ in range(self._window.maxlen or 0)]
        self._post("predict", {"input_batch": [item["input"] for item in items]})
        self._window.extend(items)

    def _next_item(self) -> dict[str, Any]:
        split = digits()
        number = next(self._numbers)
        at = number % len(split.labels)
        # A fraction too small for any model to see makes every input a new one.
        pixels = [*split.inputs[at].tolist()[:-1], 1e-9 * number]
        return {"uid": "0", "input": pixels, "label": int(split.labels[at])}

    def _observe(self) -> None:
        item = self._next_item()
        self._post("predict", {"input": item["input"]})
        self._window.append(item)
        if self._window.maxlen == 1:
            self._post("update", self._window[0])
        else:
            self._post("update", {"updates": list(self._window)})
        self.observations += 1
        self.labels += len(self._window)

    def _post(self, verb: str, body: dict[str, Any]) -> None:
        text = json.dumps(body)
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"/{self._app}/{verb}", text, headers)
        answer = self._connection.getresponse()
        reply = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{verb}: {answer.status} {reply[:300]!r}")
