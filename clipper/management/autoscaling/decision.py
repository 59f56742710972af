"""How many replicas a model version should have: the decision of the built-in autoscaler.

Pure: one `VersionScaler` for each version is told what was measured and what time it is.

**What is measured**, between two looks at all frontends: λ, queries per second that needed a
replica; c, the replica-seconds that one of them took; F, how full batches were, in queries for each
query that the batch-size controller allowed; the 95th percentile of the queue wait; the queries
that missed their deadlines.

**Load.** λ·c replicas are busy all the time, so λ·c / u of them are busy for a share u of it. But c
belongs to the batch sizes of the moment. A batch of n queries takes a + b·n: under light load, in
batches of one, a query pays a + b; under heavy load, in full batches, little more than b. So the
busy share of lightly loaded replicas says too much, and comes near 1 long before they are at their
limit. The truth has bounds. Were a = 0, the load would be λ·c; were b = 0, batches as full as is
allowed now would do it in λ·c·F. And where batches of two sizes were measured well, b is known, and
the load is at least λ·b. The larger of the two lower bounds is λ·c'.

**Up**, at once:

* to λ·c' / u when even that is more than there is;
* to λ·c / u when λ·c is more than is ready and there is *pressure*: the queue wait eats more than
  its share of the objective, or deadlines are missed. This number does not depend on how many
  replicas serve already, so that it holds while new ones start;
* to λ / (u·s) when the pressure lasts, s being the rate at which one replica answers under it. No
  model of the cost is needed here, so that this also covers what compute seconds do not show:
  unpacking, transfer, an interpreter's lock.

A replica that was asked for and does not serve yet is waited for, unless the first two outgrow it.
One decision at most doubles the number or adds four, the limits of Kubernetes' own autoscaler.

**Down**, slowly: when for the whole cool-down nothing changed, no replica was missing and there was
no pressure, to the largest need in that time, and by at most a quarter. The need is that on the
fewer replicas: at a lower busy share than the one that makes the number grow (hysteresis), and, as
batches get larger again there, at the lowest c that was measured at any batch size lately. And a
rate s under which there was pressure is remembered for a while: no step down goes back to it.
Without this, a version whose cost is not what it seems would go up and down for ever.

**Not at all** without complete and fresh measurements; and 0 replicas are the operator's choice.
Deadlines missed by replicas that are neither busy nor queued for hold the number: the model is too
slow for the objective, and more replicas would not help.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque

from clipper.management.autoscaling.costs import BatchCosts
from clipper.management.autoscaling.measurements import Window, joined
from clipper.management.autoscaling.settings import ScalingSettings


@dataclasses.dataclass(frozen=True, slots=True)
class Replicas:
    """Bounds and present state of a model version's replicas, as the cluster has them."""

    minimum: int
    maximum: int
    current: int
    """Asked for."""
    ready: int
    """Able to serve."""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What to do: `wanted` is the present number where nothing should change."""

    wanted: int
    reason: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Moment:
    """One tick, as scaling down looks back on it."""

    at_s: float
    need: int
    strained: bool


class VersionScaler:
    """Decides for one model version; remembers what its cool-down and its lessons need."""

    def __init__(self, settings: ScalingSettings) -> None:
        self._settings = settings
        self._costs = BatchCosts(settings.memory_s)
        self._recent: deque[Window] = deque()
        self._moments: deque[_Moment] = deque()
        self._pressed_ticks = 0
        self._current: int | None = None
        self._ready: int | None = None
        self._ready_since_s = -math.inf
        self._seen_s = -math.inf
        self._overrun: deque[tuple[float, float]] = deque()
        """(time, queries per second and replica) under which there was pressure."""

    def decide(
        self, now_s: float, replicas: Replicas, window: Window | None, objective_s: float | None
    ) -> Verdict:
        """Return the number of replicas from now on, and why.

        Args:
            window: what happened since the decision before; None: that is not known for sure.
            objective_s: tightest latency objective of the applications; None: there are none.
        """
        self._notice(now_s, replicas)
        current = replicas.current
        if current == 0:
            return Verdict(0, "scaled to zero by the operator")
        bounded = min(max(current, replicas.minimum), replicas.maximum)
        if bounded != current:
            return Verdict(bounded, f"bounds are {replicas.minimum} to {replicas.maximum}")
        if window is None:
            return Verdict(current, "no complete measurements: holding")
        self._remember(now_s, window)
        if replicas.ready == 0:
            return Verdict(current, "no replica is ready yet")
        strain, more_helps = self._strain(replicas, window, objective_s)
        self._pressed_ticks = self._pressed_ticks + 1 if more_helps else 0
        pressure = strain if more_helps else ""
        need, why = self._need_to_grow(now_s, replicas, window, pressure)
        self._moments.append(_Moment(now_s, self._need_to_keep(now_s, window), bool(strain)))
        if need > current:
            if current == replicas.maximum:
                return Verdict(current, f"{why}; {current} is the maximum")
            limit = current + max(self._settings.max_added, current)
            return Verdict(min(need, limit, replicas.maximum), why)
        return self._shrink(now_s, replicas, strain if strain and not pressure else why)

    def _notice(self, now_s: float, replicas: Replicas) -> None:
        """Start afresh after a change of the number, whoever made it, and after a gap."""
        gap = now_s - self._seen_s > self._settings.max_gap_s
        if gap or replicas.current != self._current:
            self._moments.clear()
            self._pressed_ticks = 0
        if replicas.ready != self._ready:
            self._ready_since_s = now_s
        if gap or replicas.ready != self._ready:
            # On another number of replicas batches have other sizes, and queries another cost.
            self._recent.clear()
        self._current, self._ready = replicas.current, replicas.ready

    def _remember(self, now_s: float, window: Window) -> None:
        settings = self._settings
        self._seen_s = now_s
        self._costs.observe(now_s, window)
        self._recent.append(window)
        while (
            len(self._recent) > 1
            and sum(part.duration_s for part in self._recent) > settings.averaging_s
        ):
            self._recent.popleft()
        while self._overrun and now_s - self._overrun[0][0] > settings.lesson_s:
            self._overrun.popleft()
        # The oldest one kept is older than the cool-down: that is how its end is known.
        while len(self._moments) > 1 and now_s - self._moments[1].at_s >= settings.cool_down_s:
            self._moments.popleft()

    def _strain(
        self, replicas: Replicas, window: Window, objective_s: float | None
    ) -> tuple[str, bool]:
        """Return what goes wrong, empty if nothing, and whether more replicas would help."""
        settings = self._settings
        if objective_s is None:
            return "", False
        seen = window if window.waited >= settings.min_queries else joined(self._recent)
        limit_s = settings.wait_share * objective_s
        wait_s = seen.wait_s(settings.wait_quantile)
        if seen.waited >= settings.min_queries and wait_s > limit_s:
            return (
                f"{settings.wait_quantile:.0%} of the queries wait up to {wait_s * 1e3:.0f} ms "
                f"of an objective of {objective_s * 1e3:.0f} ms"
            ), True
        missed = seen.misses / max(1.0, seen.arrivals)
        if seen.misses < settings.min_misses or missed <= settings.miss_share:
            return "", False
        text = f"{min(1.0, missed):.1%} of the queries miss their deadlines"
        busy_share = seen.busy_replicas / replicas.ready
        if wait_s > limit_s / 2 or busy_share > settings.target_busy_share / 2:
            return text, True
        return f"{text}, though they hardly wait: the model is too slow for the objective", False

    def _need_to_grow(
        self, now_s: float, replicas: Replicas, window: Window, pressure: str
    ) -> tuple[int, str]:
        """Return a number of replicas that is surely not too many, and why."""
        settings = self._settings
        target = settings.target_busy_share
        recent = joined(self._recent)
        cost_s = recent.cost_s or self._costs.latest_s
        # A single window after a change of the replicas says too little for a step without need.
        least_s = self._costs.least_s(now_s, recent) if len(self._recent) > 1 else 0.0
        busy = recent.arrival_rate * least_s
        load = max(recent.arrival_rate, window.arrival_rate) * cost_s
        need = math.ceil(load / target)
        if pressure and load > replicas.ready:
            busy = max(busy, load)
        if math.ceil(busy / target) > replicas.current:
            return math.ceil(busy / target), f"the load keeps {busy:.1f} replicas busy"
        if not pressure:
            return 0, "within its targets"
        missing = replicas.current - replicas.ready
        if missing > 0:
            return 0, f"{pressure}; waiting for {missing} more to be ready"
        settled = now_s - self._ready_since_s >= settings.settle_s
        if not settled or self._pressed_ticks < settings.pressed_ticks:
            return 0, f"{pressure}; waiting to see if it lasts"
        growth = 1.0
        seen = window if window.answered >= settings.min_queries else recent
        if seen.answered:
            growth = max(1.0, seen.arrivals / seen.answered)
            self._overrun.append((now_s, seen.answer_rate / replicas.ready))
        return max(need, math.ceil(replicas.ready * growth / target)), pressure

    def _need_to_keep(self, now_s: float, window: Window) -> int:
        """Return the replicas that the present load needs, with something in hand."""
        settings = self._settings
        recent = joined(self._recent)
        # A short burst counts as far as chance does not explain it: two standard deviations.
        burst = (window.arrivals - 2 * math.sqrt(window.arrivals)) / window.duration_s
        rate = max(recent.arrival_rate, burst)
        cost_s = self._costs.cheapest_s(now_s, recent)
        need = math.ceil(rate * cost_s / settings.keep_busy_share)
        for _, overrun in self._overrun:
            need = max(need, math.ceil(rate / (settings.overrun_share * overrun)))
        return max(1, need)

    def _shrink(self, now_s: float, replicas: Replicas, why: str) -> Verdict:
        settings = self._settings
        current = replicas.current
        need = max(moment.need for moment in self._moments)
        fewer = max(need, replicas.minimum, current - max(1, current // settings.max_removed_of))
        if fewer >= current:
            return Verdict(current, why)
        cooled = now_s - self._moments[0].at_s >= settings.cool_down_s
        if replicas.ready < current or any(moment.strained for moment in self._moments):
            return Verdict(current, why)
        if not cooled:
            return Verdict(current, f"{need} would do; cooling down")
        return Verdict(fewer, f"no more than {need} needed for {settings.cool_down_s:.0f} s")
