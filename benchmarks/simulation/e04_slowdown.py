"""E4: a container becomes three times slower for 10 s and recovers; a lull between two bursts."""

from __future__ import annotations

import random
from itertools import chain

from benchmarks.simulation.arrivals import poisson
from benchmarks.simulation.bench import Bench, PolicyLog
from benchmarks.simulation.cost import CostModel, noisy, slowed
from benchmarks.simulation.experiment import Check, Experiment, Row, of, one
from benchmarks.simulation.reference import FrozenQuantile, OriginalAimd
from clipper.batching.aimd import AimdPolicy
from clipper.batching.fixed import FixedPolicy
from clipper.batching.policy import BatchSizePolicy
from clipper.batching.ports import DispatchSettings
from clipper.batching.quantile import QuantilePolicy

SLO_S = 0.020
MODEL = CostModel(0.0002, 0.0005)
FACTOR = 3.0
_SLOW_FROM_S, _SLOW_UNTIL_S, _END_S = 11.0, 21.0, 31.0
_FROZEN_AFTER = 300

_LULL_S = 30.0
_BURST_S = 5.0


def run() -> list[Row]:
    """Run every policy through the slowdown, and two through the lull."""
    best = MODEL.largest(SLO_S)
    policies: dict[str, BatchSizePolicy] = {
        "aimd": AimdPolicy(),
        "quantile": QuantilePolicy(),
        "frozen quantile": FrozenQuantile(_FROZEN_AFTER),
        "static": FixedPolicy(best),
    }
    rows = [_slowdown(name, policy) for name, policy in policies.items()]
    rows.append(_lull("aimd", AimdPolicy()))
    rows.append(_lull("original aimd", OriginalAimd()))
    return rows


def _slowdown(name: str, policy: BatchSizePolicy) -> Row:
    bench = Bench(SLO_S, DispatchSettings(objective_share=1.0))
    log = bench.replica(policy, slowed(MODEL, FACTOR, _SLOW_FROM_S, _SLOW_UNTIL_S))
    bench.saturate(_END_S)
    computed = bench.replicas[0].computed
    before = [each for each in computed if _SLOW_FROM_S - 2 <= each[0] < _SLOW_FROM_S]
    slow = [each for each in computed if _SLOW_FROM_S <= each[0] < _SLOW_UNTIL_S]
    after = [each for each in computed if each[0] >= _SLOW_UNTIL_S]
    rate_before = _rate(before)
    violations = [seconds > SLO_S * 1.001 for _, _, seconds in slow]
    regained = next(
        (n for n in range(len(after) - 10) if _rate(after[n : n + 10]) >= 0.9 * rate_before),
        len(after),
    )
    return {
        "kind": "slowdown",
        "policy": name,
        "cap_before": _cap_at(log, _SLOW_FROM_S),
        "cap_slow": _cap_at(log, _SLOW_UNTIL_S),
        "cap_after": log.caps[-1],
        "late_batches": next((n for n, late in enumerate(violations) if not late), len(slow)),
        "late_share": sum(violations) / len(violations),
        "regained_batches": regained,
        "rate_slow": _rate(slow) / rate_before,
        "defaults": 0.0,
    }


def _lull(name: str, policy: BatchSizePolicy) -> Row:
    """Ten queries a second between two bursts; 2 % of the batches take three times as long."""
    bench = Bench(SLO_S)
    log = bench.replica(policy, noisy(MODEL, 0.02, random.Random(3), hiccup_share=0.02))
    burst = 0.9 * MODEL.achievable(SLO_S, 2)
    first_s = bench.clock.now() + _BURST_S
    second_s = first_s + _LULL_S
    end_s = second_s + _BURST_S
    bench.record.since_s = second_s
    bench.open_loop(
        chain(
            poisson(burst, bench.clock.now(), first_s, 1),
            poisson(10.0, first_s, second_s, 2),
            poisson(burst, second_s, end_s, 3),
        ),
        end_s + 1,
    )
    outcome = bench.outcome(end_s)
    return {
        "kind": "lull",
        "policy": name,
        "cap_before": _cap_at(log, first_s),
        "cap_slow": _cap_at(log, second_s),
        "cap_after": log.caps[-1],
        "late_batches": 0,
        "late_share": 0.0,
        "regained_batches": 0,
        "rate_slow": 0.0,
        "defaults": outcome.default_share,
    }


def _rate(batches: list[tuple[float, int, float]]) -> float:
    return sum(size for _, size, _ in batches) / sum(seconds for _, _, seconds in batches)


def _cap_at(log: PolicyLog, at_s: float) -> int:
    return next(
        cap
        for cap, seen_s in zip(reversed(log.caps), reversed(log.times_s), strict=True)
        if seen_s < at_s
    )


def verdict(rows: list[Row]) -> list[Check]:
    """Compare with the expectations of E4."""
    best = MODEL.largest(SLO_S)
    slowdowns = of(rows, kind="slowdown")
    aimd = one(slowdowns, policy="aimd")
    frozen = one(slowdowns, policy="frozen quantile")
    lull = one(rows, kind="lull", policy="aimd")
    original = one(rows, kind="lull", policy="original aimd")
    back = best / 3 + 20
    return [
        Check(
            f"AIMD is under the objective again after {aimd['late_batches']} batches, at most 15",
            aimd["late_batches"] <= 15,
        ),
        Check(
            f"AIMD has 90 % of its throughput {aimd['regained_batches']} batches after the "
            f"recovery, at most {back:.0f}",
            aimd["regained_batches"] <= back,
        ),
        Check(
            f"a frozen quantile line is late in {frozen['late_share']:.0%} of the slow batches, "
            "more than 90 %",
            frozen["late_share"] > 0.9,
        ),
        Check(
            f"a lull leaves AIMD {lull['cap_slow']} of {lull['cap_before']} queries a batch, at "
            f"least 80 % (the original rule: {original['cap_slow']})",
            lull["cap_slow"] >= 0.8 * lull["cap_before"],
        ),
    ]


EXPERIMENT = Experiment(
    "E4", "A threefold slowdown, and a lull", run, verdict, ("policy", "late_batches", "kind")
)
