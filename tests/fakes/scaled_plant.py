"""A model version under load, as the autoscaler sees it: fluid, with a batch-size controller."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable

from clipper.management.autoscaling.decision import Replicas, Verdict, VersionScaler
from clipper.management.autoscaling.measurements import Window
from clipper.management.autoscaling.settings import ScalingSettings
from clipper.metrics import families

_STEP_S = 0.1


class ScaledPlant:
    """Replicas that take ``fixed_s + each_s * n`` for a batch of n queries.

    A batch is as large as the load makes it: one query while a replica keeps up with single ones,
    otherwise what arrives during the batch before, and at most ``cap``. Queries that wait longer
    than the objective are given up. Arrivals are Poisson's, approximated by the normal one.

    Args:
        load: time → queries per second.
        hidden_s: seconds of a replica for each query that compute seconds do not show.
        start_s: seconds until a new replica is ready.
    """

    def __init__(
        self,
        load: Callable[[float], float],
        *,
        fixed_s: float = 0.0,
        each_s: float = 0.02,
        hidden_s: float = 0.0,
        cap: int = 1,
        objective_s: float = 0.1,
        start_s: float = 12.0,
        minimum: int = 1,
        maximum: int = 10,
        replicas: int = 1,
        seed: int = 1,
        settings: ScalingSettings | None = None,
    ) -> None:
        self.load = load
        self.fixed_s, self.each_s, self.hidden_s = fixed_s, each_s, hidden_s
        self.cap, self.objective_s, self.start_s = cap, objective_s, start_s
        self.minimum, self.maximum, self.replicas = minimum, maximum, replicas
        self.settings = settings or ScalingSettings()
        self.scaler = VersionScaler(self.settings)
        self.now_s = 0.0
        self.blind = False
        self.stuck = False
        """New replicas do not become ready."""
        self.verdict = Verdict(replicas, "")
        self.history: list[tuple[float, int]] = [(0.0, replicas)]
        """(time, replicas) of every change."""
        self.missed: dict[float, float] = {}
        """Tick → share of its queries that were not answered in time."""
        self._rng = random.Random(seed)
        self._ready_at_s = [-math.inf] * replicas
        self._backlog = 0.0

    @property
    def ready(self) -> int:
        """Replicas that serve."""
        return sum(at_s <= self.now_s for at_s in self._ready_at_s)

    @property
    def changes(self) -> int:
        """How often the number changed."""
        return len(self.history) - 1

    def capacity(self, replicas: int) -> float:
        """Queries per second that so many replicas answer with full batches."""
        batch_s = self.fixed_s + (self.each_s + self.hidden_s) * self.cap
        return replicas * self.cap / batch_s

    def needed(self) -> int:
        """Replicas without which the load of the moment grows the queue for ever."""
        return math.ceil(self.load(self.now_s) / self.capacity(1) - 1e-9)

    def run(self, until_s: float, check: Callable[[], None] = lambda: None) -> None:
        """Let time pass; the scaler decides every interval, then ``check`` looks on."""
        while self.now_s < until_s:
            window = self._serve(self.settings.interval_s)
            self.missed[self.now_s] = window.misses / max(1.0, window.arrivals)
            replicas = Replicas(self.minimum, self.maximum, self.replicas, self.ready)
            seen = None if self.blind else window
            self.verdict = self.scaler.decide(self.now_s, replicas, seen, self.objective_s)
            self.scale(self.verdict.wanted)
            check()

    def scale(self, replicas: int) -> None:
        """Ask for so many replicas."""
        if replicas == self.replicas:
            return
        at_s = math.inf if self.stuck else self.now_s + self.start_s
        added = [at_s] * (replicas - self.replicas)
        self._ready_at_s = (sorted(self._ready_at_s) + added)[:replicas]
        self.replicas = replicas
        self.history.append((self.now_s, replicas))

    def _serve(self, duration_s: float) -> Window:
        totals = dict.fromkeys(
            ("arrivals", "answered", "batches", "slots", "busy_s", "misses"), 0.0
        )
        waits = [0.0] * (len(families.QUEUE_WAIT.bounds) + 1)
        for _ in range(round(duration_s / _STEP_S)):
            self.now_s += _STEP_S
            mean = self.load(self.now_s) * _STEP_S
            arrivals = max(0.0, self._rng.gauss(mean, math.sqrt(mean)))
            answered, batch, wait_s, misses = self._step(arrivals)
            totals["arrivals"] += arrivals
            totals["answered"] += answered
            totals["batches"] += answered / batch
            totals["slots"] += answered / batch * min(self.cap, 2 * batch)
            totals["busy_s"] += answered / batch * (self.fixed_s + self.each_s * batch)
            totals["misses"] += misses
            for part in range(10):  # evenly between none and twice the mean
                self._count(waits, wait_s * (part + 0.5) / 5, answered / 10)
        return Window(duration_s, **totals, waits=tuple(waits))

    def _step(self, arrivals: float) -> tuple[float, float, float, float]:
        """Return answered queries, their batch size, their mean wait, and missed queries."""
        ready = self.ready
        if not ready:
            return 0.0, 1.0, 0.0, arrivals
        each_s = self.each_s + self.hidden_s
        offered = self._backlog + arrivals
        answered = min(offered, self.capacity(ready) * _STEP_S)
        rate = answered / _STEP_S / ready
        single_s = self.fixed_s + each_s
        if rate * single_s <= 1:
            batch = 1.0
        else:
            batch = min(self.cap, rate * self.fixed_s / max(1e-9, 1 - rate * each_s))
        batch_s = self.fixed_s + each_s * batch
        busy = min(0.99, rate * batch_s / batch)
        wait_s = min(batch_s, batch_s * busy / (2 * (1 - busy) * ready))
        self._backlog = offered - answered
        waiting_s = self._backlog / self.capacity(ready)
        room = self.objective_s * self.capacity(ready)
        misses = max(0.0, self._backlog - room)
        self._backlog -= misses
        return answered, batch, wait_s + waiting_s, misses

    @staticmethod
    def _count(waits: list[float], wait_s: float, queries: float) -> None:
        waits[bisect.bisect_left(families.QUEUE_WAIT.bounds, wait_s)] += queries
