from __future__ import annotations

import pytest

from clipper.batching.lag import LagEstimate
from clipper.frontend.loop_lag import EVERY_S, LoopLagMonitor
from tests.fakes.virtual_clock import VirtualClock


class LateClock(VirtualClock):
    """Runs every timer later than asked."""

    def __init__(self, late_s: float) -> None:
        super().__init__()
        self.late_s = late_s

    def call_later(self, delay_s, callback):  # type: ignore[no-untyped-def]
        return super().call_later(delay_s + self.late_s, callback)


@pytest.mark.parametrize(
    ("late_s", "lag_s"),
    [(0.0, 0.0), (0.001, 0.0), (0.005, 0.004)],
    ids=["in time", "within a tick", "late"],
)
def test_lag_is_how_late_a_timer_fires_beyond_the_loop_s_own_tick(
    late_s: float, lag_s: float
) -> None:
    clock, estimate = LateClock(late_s), LagEstimate()
    seen: list[float] = []
    LoopLagMonitor(clock, estimate, seen.append).start()

    clock.advance(100 * (EVERY_S + late_s))

    assert len(seen) == pytest.approx(100, abs=1)
    assert seen == pytest.approx([lag_s] * len(seen), abs=1e-9)
    assert estimate.seconds == pytest.approx(lag_s, rel=0.01, abs=1e-9)


def test_nothing_is_measured_after_the_stop() -> None:
    clock = LateClock(0.0)
    seen: list[float] = []
    monitor = LoopLagMonitor(clock, LagEstimate(), seen.append)
    monitor.start()
    clock.advance(EVERY_S)

    monitor.stop()
    clock.advance(10 * EVERY_S)

    assert len(seen) == 1
