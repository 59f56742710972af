"""Hours of load in miniature: is memory flat, is every answer right, does none come late?

``python -m benchmarks.soak [--minutes 30] [--load 0.8]``

Open loop at a share of the measured capacity, every input new. Capacity is measured again every
minute: a machine shared with others is not as fast all the time, and a share of what it could do
half an hour ago may be more than it can do now. The model answers with the number that its input
carries, so the client knows what each answer must be. Memory of every process of the cluster is
read every ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.cluster import Cluster, cluster
from benchmarks.processes import LoadGenerator, load_generator, rss_bytes
from benchmarks.publishing import Result, panels, publish
from benchmarks.recorder import RESULTS, Summary
from benchmarks.verdict import Verdict, at_least, at_most, between, new_console

SLO_S = 0.1
SAMPLE_S = 10.0
SEGMENT_S = 10.0
"""The load comes in runs of so long, one right after the other but where capacity is measured."""
CALIBRATION_S = 3.0
CALIBRATE_EVERY_S = 60.0
CONNECTIONS = 512
SETTLED_AFTER = 1 / 6
"""Memory is compared with what it was after this share of the run: five minutes of thirty."""
WINDOW = 1 / 15
FLAT = 0.02


def numbered(inputs: Any) -> list[str]:
    """Answer each input with the number that its first element carries in twelve digits."""
    return [str(round(float(x[0]) * 1e12)) for x in inputs]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory at one moment."""

    moment_s: float
    role: str
    rss: int


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """What the clients got in one of the runs that the load comes in."""

    began_s: float
    rate: float
    """Requests offered per second."""
    summary: Summary


class MemoryWatch:
    """Reads the memory of every process of a cluster from a thread, until told to stop."""

    def __init__(self, pids: dict[str, list[int]], every_s: float) -> None:
        self.samples: list[Sample] = []
        self._pids = pids
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        begun_s = time.monotonic()
        while True:
            for role, pids in self._pids.items():
                with contextlib.suppress(OSError):  # a process that ended shows in the answers
                    size = sum(rss_bytes(pid) for pid in pids)
                    self.samples.append(Sample(time.monotonic() - begun_s, role, size))
            if self._stop.wait(self._every_s):
                return


class Capacity:
    """What a cluster can do, in good answers per second: measured first, then again now and then.

    In closed loop over the soak's own number of connections: with 128 a query costs the frontend a
    sixth less. Those answers are not among the soak's, since they come at full load.
    """

    def __init__(
        self, running: Cluster, generator: LoadGenerator, clock: Callable[[], float]
    ) -> None:
        self._running = running
        self._generator = generator
        self._clock = clock
        self._measure()  # batches grow in it
        self._latest = statistics.median(self._measure() for _ in range(5))
        self._measured_s = clock()

    def now(self) -> float:
        """Return the latest capacity, measured anew when it is a minute old."""
        if self._clock() - self._measured_s >= CALIBRATE_EVERY_S:
            self._latest = self._measure()
            self._measured_s = self._clock()
        return self._latest

    def _measure(self) -> float:
        spec = {"connections": CONNECTIONS, "slo_s": SLO_S}
        return self._generator.run(self._running.load("soak", CALIBRATION_S, **spec)).goodput


def memory_verdicts(samples: Sequence[Sample], duration_s: float) -> list[Verdict]:
    """Compare each process's memory at the end with what it was once settled."""
    found = []
    window_s = WINDOW * duration_s
    for role in sorted({sample.role for sample in samples}):

        def mean(from_s: float, role: str = role) -> float:
            sizes = [
                sample.rss
                for sample in samples
                if sample.role == role and from_s <= sample.moment_s <= from_s + window_s
            ]
            return statistics.fmean(sizes) if sizes else float("nan")

        settled, end = mean(SETTLED_AFTER * duration_s), mean(duration_s - window_s)
        found.append(
            between(
                f"memory of {role}, end / settled",
                end / settled,
                1 - FLAT,
                1 + FLAT,
                f"{settled / 1e6:.1f} MB settled, {end / 1e6:.1f} MB at the end",
            )
        )
    return found


def segment_rows(segments: Sequence[Segment], samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Return a row for each segment: what its clients got, and the last memory read before it."""
    roles = sorted({sample.role for sample in samples})
    rows = []
    for segment in segments:
        row = {"began_s": segment.began_s, "rate": segment.rate}
        row |= dataclasses.asdict(segment.summary)
        for role in roles:
            before = [s.rss for s in samples if s.role == role and s.moment_s <= segment.began_s]
            row[f"rss_of_{role}"] = before[-1] if before else None
        rows.append(row)
    return rows


def answer_verdicts(segments: Sequence[Segment]) -> list[Verdict]:
    """Judge what the clients got."""
    summaries = [segment.summary for segment in segments]
    requests = sum(summary.requests for summary in summaries)
    rates = [segment.rate for segment in segments]
    offered = statistics.fmean(rates)
    rate = statistics.fmean(summary.throughput for summary in summaries)
    good = statistics.fmean(summary.goodput for summary in summaries)
    note = f"of {requests:,} answers"
    resent = f"{note}; {sum(s.resent for s in summaries)} requests met a closing connection"
    load = (
        f"{offered:,.0f} requests/s offered, {min(rates):,.0f} to {max(rates):,.0f}; "
        f"{good / offered:.2%} answered within {SLO_S:g} s"
    )
    return [
        at_most("wrong answers", sum(s.wrong for s in summaries), 0, note),
        at_most("defaults", sum(s.defaults for s in summaries), 0, note),
        at_most("errors", sum(s.errors for s in summaries), 0, resent),
        at_least("answered / offered", rate / offered, 0.98, load),
    ]


def measure(minutes: float, load: float) -> Result:
    """Calibrate, then load for the whole time."""
    duration_s = 60 * minutes
    with cluster() as running, load_generator() as generator:
        running.deploy("soak", numbered)
        running.register("soak", "soak", SLO_S)
        capacity = Capacity(running, generator, time.monotonic)
        segments: list[Segment] = []
        pids = {**running.manager.child_pids(), "query-frontend": running.frontend_pids()}
        begun_s = time.monotonic()
        with MemoryWatch(pids, min(SAMPLE_S, duration_s / 60)) as watch:
            while time.monotonic() - begun_s < duration_s:
                rate = load * capacity.now()
                began_s = time.monotonic() - begun_s
                spec = running.load(
                    "soak",
                    max(1.0, min(SEGMENT_S, duration_s - began_s)),
                    connections=CONNECTIONS,
                    rate=rate,
                    seed=len(segments),
                    slo_s=SLO_S,
                    verify=True,
                )
                segments.append(Segment(began_s, rate, generator.run(spec)))
    verdicts = answer_verdicts(segments) + memory_verdicts(watch.samples, duration_s)
    title = f"{minutes:g} minutes at {load:.0%} load"
    rows = segment_rows(segments, watch.samples)
    return Result("soak", title, rows, verdicts, _figure(segments, watch.samples))


def _figure(segments: Sequence[Segment], samples: Sequence[Sample]) -> Figure:
    figure, (left, right, offered) = panels(3)
    for role in sorted({sample.role for sample in samples}):
        curve = [sample for sample in samples if sample.role == role]
        moments = [sample.moment_s / 60 for sample in curve]
        left.plot(moments, [sample.rss / 1e6 for sample in curve], label=role)
    left.set(xlabel="minutes", ylabel="resident memory, MB", ylim=(0, None))
    left.legend(fontsize="small")
    moments = [segment.began_s / 60 for segment in segments]
    for name, label in (("max_s", "slowest"), ("p99_s", "P99"), ("p50_s", "P50")):
        latencies_s = [getattr(segment.summary, name) for segment in segments]
        right.plot(moments, [latency_s * 1e3 for latency_s in latencies_s], label=label)
    right.set(xlabel="minutes", ylabel="latency, ms", ylim=(0, None))
    right.legend()
    offered.plot(moments, [segment.rate for segment in segments], label="offered")
    offered.plot(moments, [segment.summary.goodput for segment in segments], label="in time")
    offered.set(xlabel="minutes", ylabel="requests per second", ylim=(0, None))
    offered.legend()
    return figure


def main() -> None:
    """Measure and publish."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--load", type=float, default=0.8, help="share of the measured capacity")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    logging.getLogger("clipper").setLevel(logging.WARNING)
    publish(new_console(), options.output, measure(options.minutes, options.load))


if __name__ == "__main__":
    main()
