"""Schedules of open loops."""

from __future__ import annotations

import collections
import itertools
import math

import pytest

from benchmarks.arrivals import arrivals, zipf_numbers


@pytest.mark.parametrize("cv", [0.5, 1.0, 4.0])
def test_arrivals_have_the_rate_and_burstiness_that_was_asked_for(cv: float) -> None:
    moments = list(arrivals(rate=1000, duration_s=50, seed=1, cv=cv))
    assert moments == list(arrivals(rate=1000, duration_s=50, seed=1, cv=cv))
    assert moments != list(arrivals(rate=1000, duration_s=50, seed=2, cv=cv))
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 50
    assert abs(len(moments) - 50_000) < 5 * cv * math.sqrt(50_000)
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert deviation / mean == pytest.approx(cv, rel=0.05)


def test_zipf_numbers_are_drawn_by_their_rank() -> None:
    drawn = collections.Counter(itertools.islice(zipf_numbers(100, 1.0, seed=3), 100_000))
    assert set(drawn) == set(range(100))
    assert drawn[0] / drawn[1] == pytest.approx(2, rel=0.1)
    assert drawn[0] / drawn[9] == pytest.approx(10, rel=0.1)
