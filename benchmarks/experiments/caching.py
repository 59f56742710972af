"""E7: what a cache hit saves, and how well CLOCK chooses what to keep.

In process: the time of a hit; CLOCK's hit ratio beside that of an exact LRU of the same capacity,
on the same keys drawn from a Zipf distribution. Over REST: throughput by hit ratio with a model of
5 ms, and how often the model is asked when a hundred clients send the same new input.
"""

from __future__ import annotations

import collections
import itertools
import statistics
import time
from typing import Any

from benchmarks.arrivals import zipf_numbers
from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import LoadGenerator, load_generator
from benchmarks.publishing import Result, panels
from benchmarks.sleepers import sleeping
from benchmarks.spec import Inputs
from benchmarks.verdict import Verdict, at_least, at_most
from clipper.cache.prediction_cache import CacheShelf, PredictionCache, entry_size_bytes
from clipper.outputs import Output

KEYS = 10_000
DRAWN = 200_000
SHARES = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Capacity of the cache as a share of the keys."""
MODEL_S = 0.005
SLO_S = 0.5
_OUTPUT = Output(b"1.0", b"1.0")
_LEADER = object()
_DURATION_S = 2.0
_KEYS_OVER_REST = (1, 100, 3_000, 100_000)


def run() -> Result:
    """Measure in process and over REST."""
    quality = [_quality(share) for share in SHARES]
    hit_s = _hit_s()
    with cluster() as running, load_generator() as generator:
        running.deploy("slow", sleeping(MODEL_S, 0.0), batch_size=1)
        running.register("slow", "slow", SLO_S)
        served = _served(running, generator)
        miss_s, lone_hit_s = (
            generator.run(
                running.load("slow", 1.0, connections=1, slo_s=SLO_S, inputs=inputs)
            ).p50_s
            for inputs in (Inputs.DISTINCT, Inputs.SAME)
        )
        evaluations = _coalesced(running, generator)
    verdicts = [
        at_most("hit in process, µs", hit_s * 1e6, 100),
        at_least("miss / hit, median latency over REST, 1 connection", miss_s / lone_hit_s, 10),
        at_most(
            "largest gap between exact LRU's and CLOCK's hit ratio, points",
            max(100 * (row["lru"] - row["clock"]) for row in quality),
            3,
        ),
        at_most("evaluations for 100 equal inputs at once", evaluations, 1),
        _rising(served),
    ]
    figure, (left, right) = panels(2)
    for policy in ("clock", "lru"):
        left.plot([100 * s for s in SHARES], [row[policy] for row in quality], "o-", label=policy)
    left.set(xlabel="capacity, % of the keys", ylabel="hit ratio", ylim=(0, 1))
    left.legend()
    right.plot([row["hit_ratio"] for row in served], [row["throughput"] for row in served], "o-")
    right.set(xlabel="hit ratio", ylabel="answers per second", yscale="log")
    return Result("e07", "Cache hits and CLOCK", [*quality, *served], verdicts, figure)


def _shelf(capacity_bytes: int) -> CacheShelf[object]:
    cache: PredictionCache[object] = PredictionCache(capacity_bytes)
    return cache.shelf(1)


def _quality(share: float) -> dict[str, Any]:
    """Return the hit ratios of CLOCK and of LRU on the same keys."""
    entries = int(share * KEYS)
    room = entries * entry_size_bytes(bytes(8), _OUTPUT)
    shelf = _shelf(room)
    recent: collections.OrderedDict[int, None] = collections.OrderedDict()
    hits = {"clock": 0, "lru": 0}
    for number in itertools.islice(zipf_numbers(KEYS, 1.0, seed=1), DRAWN):
        key = number.to_bytes(8, "little")
        if shelf.get(key) is not None:
            hits["clock"] += 1
        else:
            shelf.complete(key, _LEADER, _OUTPUT)
        if number in recent:
            hits["lru"] += 1
            recent.move_to_end(number)
        else:
            recent[number] = None
            if len(recent) > entries:
                recent.popitem(last=False)
    row: dict[str, Any] = {"part": "quality", "capacity_share": share, "hit_ratio": None}
    return {**row, "throughput": None, **{name: count / DRAWN for name, count in hits.items()}}


def _hit_s() -> float:
    """Return the median time of a hit in a full cache."""
    shelf = _shelf(32 << 20)
    for number in range(KEYS):
        shelf.complete(number.to_bytes(64, "little"), _LEADER, _OUTPUT)
    times_ns = []
    for number in range(KEYS):
        data = number.to_bytes(64, "little")
        begun_ns = time.perf_counter_ns()
        found = shelf.get(data)
        times_ns.append(time.perf_counter_ns() - begun_ns)
        assert found is not None
    return statistics.median(times_ns) / 1e9


def _served(running: Cluster, generator: LoadGenerator) -> list[dict[str, Any]]:
    """Return throughput by hit ratio."""
    rows = []
    for keys in _KEYS_OVER_REST:
        spec = running.load(
            "slow", _DURATION_S, connections=8, slo_s=SLO_S, inputs=Inputs.ZIPF, keys=keys
        )
        before = _lookups(running)
        summary = generator.run(spec)
        lookups = {name: count - before[name] for name, count in _lookups(running).items()}
        total = sum(lookups.values())
        row: dict[str, Any] = {"part": "rest", "capacity_share": None}
        row |= {"hit_ratio": lookups["hit"] / total, "throughput": summary.throughput}
        rows.append({**row, "clock": None, "lru": None})
    return sorted(rows, key=lambda row: row["hit_ratio"])


def _lookups(running: Cluster) -> dict[str, float]:
    name = "clipper_cache_lookups_total"
    return {r: running.metric(name, result=r) for r in ("hit", "miss", "coalesced")}


def _coalesced(running: Cluster, generator: LoadGenerator) -> float:
    """Return how often the model computed an input that 100 clients sent at once."""
    before = running.metric("clipper_cache_lookups_total", result="miss")
    spec = running.load(
        "slow", 0.5, connections=100, slo_s=SLO_S, inputs=Inputs.ZIPF, keys=1, warmup_s=0.0
    )
    generator.run(spec)
    return running.metric("clipper_cache_lookups_total", result="miss") - before


def _rising(served: list[dict[str, Any]]) -> Verdict:
    """Claim that throughput rises with the hit ratio; rows are in its order."""
    steps = [after["throughput"] / one["throughput"] for one, after in itertools.pairwise(served)]
    return at_least("least growth of throughput from one hit ratio to the next", min(steps), 1)
