"""E9: throughput with one to four replicas, over a fast and a slow link, and with a slow replica.

The replicas sleep, so two processors are enough for four of them; load is Poisson, at 95 % of what
the replicas can do. The slow link is a token bucket that all replicas share and that carries what
two of them can compute. Round robin is what Clipper does not do: its figure is that of a slow
replica alone with its fourth of the load, in batches as large as it had beside the others, and with
an objective so loose that no default cuts its latency off.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import LoadGenerator, load_generator
from benchmarks.publishing import Result, panels
from benchmarks.sleepers import Function, behind_link, one_slower, sleeping
from benchmarks.verdict import Verdict, at_least, between

FIXED_S, ITEM_S = 0.010, 0.002
BATCH = 16
SINGLE = BATCH / (FIXED_S + ITEM_S * BATCH)
"""What one replica can do."""
MOST = 4
SLOWER = 3.0
SLO_S = 1.0
ADAPTIVE_SLO_S = 0.4
LOOSE_SLO_S = 10.0
LOAD = 0.95
_CONNECTIONS = 2500
_DURATION_S = 4.0
_GROWTH_S = 10.0
_LOAD_S = 5.0


def run() -> Result:
    """Measure all three parts."""
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory(prefix="clipper-bench-") as directory,
        cluster() as running,
        load_generator() as generator,
    ):
        link = behind_link(FIXED_S, ITEM_S, 2 * SINGLE, BATCH, str(Path(directory) / "link"))
        for name, function in (("fast", sleeping(FIXED_S, ITEM_S)), ("slow", link)):
            rows += _scale_up(running, generator, name, function)
        slower = one_slower(FIXED_S, ITEM_S, SLOWER, str(Path(directory) / "slow"))
        shares, pull_p99_s, robin_p99_s = _uneven(running, generator, slower)
    verdicts = [
        *_scaling_verdicts(rows),
        between("cap of the replica that is 3 x slower / mean of the others", shares, 0.2, 0.5),
        at_least("P99, round robin / pull", robin_p99_s / pull_p99_s, 2),
    ]
    figure, (left, right) = panels(2)
    for name in ("fast", "slow"):
        found = [row for row in rows if row["link"] == name]
        counts = [row["replicas"] for row in found]
        left.plot(counts, [row["goodput"] for row in found], "o-", label=f"{name} link")
        right.plot(counts, [row["p99_s"] * 1e3 for row in found], "o-", label=f"{name} link")
    left.set(xlabel="replicas", ylabel="answers in time per second", ylim=(0, None))
    right.set(xlabel="replicas", ylabel="P99, ms", ylim=(0, None))
    left.legend()
    right.legend()
    note = f"one replica alone could do {SINGLE:.0f}/s in batches of {BATCH}"
    return Result("e09", "Replica scaling", rows, verdicts, figure, [note])


def _scale_up(
    running: Cluster, generator: LoadGenerator, name: str, function: Function
) -> list[dict[str, Any]]:
    running.deploy(name, function, batch_size=BATCH)
    running.register(name, name, SLO_S)
    rows = []
    for replicas in range(1, MOST + 1):
        running.connection.set_num_replicas(name, replicas)
        rate = LOAD * replicas * SINGLE
        load = {"connections": _CONNECTIONS, "rate": rate, "slo_s": SLO_S, "seed": replicas}
        summary = generator.run(running.load(name, _DURATION_S, **load))
        rows.append(
            {
                "link": name,
                "replicas": replicas,
                "goodput": summary.goodput,
                "p50_s": summary.p50_s,
                "p99_s": summary.p99_s,
                "defaults": summary.defaults,
            }
        )
    running.connection.set_num_replicas(name, 0)
    return rows


def _scaling_verdicts(rows: list[dict[str, Any]]) -> list[Verdict]:
    by_key = {(row["link"], row["replicas"]): row for row in rows}

    def ratio(figure: str, link: str, count: int) -> float:
        return float(by_key[link, count][figure] / by_key[link, 1][figure])

    return [
        at_least("throughput, 4 / 1 replicas, fast link", ratio("goodput", "fast", MOST), 3.5),
        between(
            "throughput, 4 / 1 replicas, link sized for 2", ratio("goodput", "slow", MOST), 1.8, 2.2
        ),
        at_least("P99, 4 / 1 replicas, link sized for 2", ratio("p99_s", "slow", MOST), 2),
    ]


def _uneven(
    running: Cluster, generator: LoadGenerator, slower: Function
) -> tuple[float, float, float]:
    """Return the slow replica's share of the others' cap, and P99 of pull and of round robin."""
    running.deploy("uneven", slower, num_replicas=MOST)
    running.register("uneven", "uneven", ADAPTIVE_SLO_S)
    growth = {"connections": 600, "slo_s": ADAPTIVE_SLO_S, "use_wrk": False}
    generator.run(running.load("uneven", _GROWTH_S, **growth))
    caps = sorted(
        running.metric("clipper_batch_size_cap", model="uneven", replica=str(number))
        for number in range(MOST)
    )
    rate = 0.6 * (MOST - 1 + 1 / SLOWER) * SINGLE
    options = {"connections": _CONNECTIONS, "slo_s": ADAPTIVE_SLO_S}
    pull = generator.run(running.load("uneven", _LOAD_S, rate=rate, **options))
    running.connection.set_num_replicas("uneven", 0)
    lame = sleeping(SLOWER * FIXED_S, SLOWER * ITEM_S)
    running.deploy("lame", lame, batch_size=max(1, int(caps[0])))
    running.register("lame", "lame", LOOSE_SLO_S)
    alone = generator.run(running.load("lame", _LOAD_S, rate=rate / MOST, **options))
    # A hundredth of all queries are less than the twentieth of those of the slow replica.
    return caps[0] / (sum(caps[1:]) / (MOST - 1)), pull.p99_s, alone.p95_s
