"""When a dead worker is started again, and what settings cannot work."""

from __future__ import annotations

import pytest

from clipper.frontend.workers import RestartPolicy, WorkerPoolSettings


def _delays(lives_s: list[float]) -> list[float]:
    policy, now_s, delays = RestartPolicy(0.1, 5.0, 10.0), 0.0, []
    for life_s in lives_s:
        policy.started(now_s)
        now_s += life_s
        delays.append(policy.exited(now_s))
        now_s += delays[-1]
    return delays


def test_delays_double_up_to_the_longest() -> None:
    assert _delays([0.0] * 8) == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


def test_a_worker_that_lived_long_enough_starts_the_series_anew() -> None:
    assert _delays([0.0, 9.9, 10.0, 0.0]) == pytest.approx([0.1, 0.2, 0.1, 0.2])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        WorkerPoolSettings(workers=0)
    with pytest.raises(ValueError, match="workers cannot share port 0: choose one with --port"):
        WorkerPoolSettings(port=0)
