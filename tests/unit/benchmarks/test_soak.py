"""What the soak makes of memory over time and of answers. Needs matplotlib, as its module does."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from benchmarks.recorder import Recorder, Summary

pytest.importorskip("matplotlib")

from benchmarks import soak


def samples(role: str, sizes: dict[float, int]) -> list[soak.Sample]:
    return [soak.Sample(moment_s, role, size) for moment_s, size in sizes.items()]


def segments(*summaries: Summary, rates: Sequence[float] = ()) -> list[soak.Segment]:
    """Segments of ten seconds; each offered one request per second, unless told otherwise."""
    offered = rates or [1.0] * len(summaries)
    return [
        soak.Segment(0.5 + 10 * n, rate, summary)
        for n, (rate, summary) in enumerate(zip(offered, summaries, strict=True))
    ]


def test_memory_at_the_end_is_compared_with_that_after_a_sixth_of_the_run() -> None:
    growing = samples("growing", {t: 100 if t < 900 else 103 for t in range(0, 1801, 10)})
    warm = samples("warm", {t: 1 if t < 300 else 100 for t in range(0, 1801, 10)})
    verdicts = {
        verdict.name.split(",")[0]: verdict
        for verdict in soak.memory_verdicts([*growing, *warm], duration_s=1800)
    }
    assert verdicts["memory of growing"].holds is False
    assert verdicts["memory of growing"].measured == pytest.approx(1.03)
    assert verdicts["memory of warm"].holds is True


def test_memory_that_was_never_read_is_not_flat() -> None:
    (verdict,) = soak.memory_verdicts(samples("gone", {0.0: 5}), duration_s=1800)
    assert verdict.holds is False


def test_one_wrong_answer_is_too_many() -> None:
    recorder = Recorder(slo_s=0.1)
    recorder.answered(0.01, good=True, default=False)
    right = recorder.summary(1.0)
    wrong = dataclasses.replace(right, wrong=1)
    assert all(v.holds for v in soak.answer_verdicts(segments(right, right)))
    holds = {v.name: v.holds for v in soak.answer_verdicts(segments(right, wrong))}
    assert holds.pop("wrong answers") is False
    assert all(holds.values())


def test_what_was_answered_is_compared_with_what_each_segment_offered() -> None:
    recorder = Recorder(slo_s=0.1)
    for _ in range(4):
        recorder.answered(0.01, good=True, default=False)
    slow, quick = recorder.summary(4.0), recorder.summary(1.0)
    shares = {
        rates: soak.answer_verdicts(segments(slow, quick, rates=rates))[-1]
        for rates in ((1.0, 4.0), (4.0, 4.0))
    }
    assert shares[1.0, 4.0].measured == 1.0
    assert shares[1.0, 4.0].holds
    assert shares[4.0, 4.0].measured == pytest.approx(5 / 8)
    assert not shares[4.0, 4.0].holds


def test_capacity_is_a_median_first_and_measured_again_when_a_minute_is_over() -> None:
    moment_s = 100.0
    goodputs = [1, 9, 5, 7, 6, 8, 4, 3]
    generator = SimpleNamespace(run=lambda _: SimpleNamespace(goodput=goodputs.pop(0)))
    running = SimpleNamespace(load=lambda *_, **__: None)
    capacity = soak.Capacity(running, generator, lambda: moment_s)  # type: ignore[arg-type]
    assert capacity.now() == 7
    moment_s += 59.0
    assert capacity.now() == 7
    moment_s += 1.0
    assert capacity.now() == 4
    moment_s += 59.0
    assert capacity.now() == 4
    moment_s += 1.0
    assert capacity.now() == 3


def test_the_table_tells_when_a_default_came_and_what_the_memory_was_then() -> None:
    recorder = Recorder(slo_s=0.1)
    recorder.answered(0.01, good=True, default=False)
    right = recorder.summary(1.0)
    default = dataclasses.replace(right, defaults=1)
    sizes = {0.0: 5, 10.0: 7, 20.0: 9}
    rows = soak.segment_rows(
        segments(right, default, right), samples("store", sizes) + samples("late", {10.0: 1})
    )
    table = [(row["began_s"], row["defaults"], row["rss_of_store"]) for row in rows]
    assert table == [(0.5, 0, 5), (10.5, 1, 7), (20.5, 0, 9)]
    assert [row["rss_of_late"] for row in rows] == [None, 1, 1]


def test_the_model_answers_with_the_number_that_the_client_encoded() -> None:
    numbers = [0, 7, 123_456_789_012, 999_999_999_999]
    inputs = [[float(f"0.{number:012d}"), 0.5] for number in numbers]
    assert soak.numbered(inputs) == [str(number) for number in numbers]
