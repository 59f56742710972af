"""The number of replicas that the built-in autoscaler decides on, under a virtual clock."""

from __future__ import annotations

import dataclasses

import pytest

from clipper.management.autoscaling.decision import Replicas, Verdict, VersionScaler
from clipper.management.autoscaling.measurements import Window
from clipper.management.autoscaling.settings import ScalingSettings
from clipper.metrics import families

OBJECTIVE_S = 0.1
_BUCKETS = len(families.QUEUE_WAIT.bounds) + 1


def waits(queries: float, wait_s: float) -> tuple[float, ...]:
    """So many queries that all waited about ``wait_s``."""
    counts = [0.0] * _BUCKETS
    counts[next(i for i, bound in enumerate(families.QUEUE_WAIT.bounds) if wait_s <= bound)] = (
        queries
    )
    return tuple(counts)


def window(
    rate: float = 100.0,
    *,
    cost_s: float = 0.01,
    answered: float = 1.0,
    wait_s: float = 0.001,
    missed: float = 0.0,
    batch: float = 1.0,
    fullness: float = 1.0,
) -> Window:
    """Five seconds at ``rate`` queries per second; ``answered`` and ``missed`` are shares."""
    arrivals = 5.0 * rate
    return Window(
        duration_s=5.0,
        arrivals=arrivals,
        answered=arrivals * answered,
        batches=arrivals * answered / batch,
        slots=arrivals * answered / fullness,
        busy_s=arrivals * answered * cost_s,
        misses=arrivals * missed,
        waits=waits(arrivals * answered, wait_s),
    )


@dataclasses.dataclass
class Driver:
    """Carries decisions out at once, every 5 s; replicas are ready unless the test says not."""

    current: int = 1
    minimum: int = 1
    maximum: int = 10
    unready: int = 0
    settings: ScalingSettings = dataclasses.field(default_factory=ScalingSettings)
    objective_s: float | None = OBJECTIVE_S
    now_s: float = 1000.0

    def __post_init__(self) -> None:
        self.scaler = VersionScaler(self.settings)

    def tick(self, seen: Window | None) -> Verdict:
        self.now_s += 5.0
        replicas = Replicas(
            self.minimum, self.maximum, self.current, max(0, self.current - self.unready)
        )
        verdict = self.scaler.decide(self.now_s, replicas, seen, self.objective_s)
        self.current = verdict.wanted
        return verdict

    def ticks(self, count: int, seen: Window | None) -> list[int]:
        return [self.tick(seen).wanted for _ in range(count)]


def test_a_load_between_the_targets_changes_nothing() -> None:
    driver = Driver(current=2)
    assert driver.ticks(60, window(rate=130)) == [2] * 60  # 1.3 of 2 replicas busy


def test_a_busy_version_grows_to_what_the_load_needs_before_anyone_waits() -> None:
    driver = Driver(current=2)
    driver.ticks(2, window(rate=100))
    assert 5 in driver.ticks(4, window(rate=320))
    assert driver.current == 5  # 3.2 replicas busy, at most 70 % of each


def test_overload_is_answered_at_once_and_not_by_single_replicas() -> None:
    driver = Driver(current=2)
    driver.ticks(3, window(rate=100))
    verdict = driver.tick(window(rate=500, answered=0.4, wait_s=0.09, missed=0.6))
    assert verdict.wanted == 6  # at most four more, or double
    assert "busy" in verdict.reason
    driver.unready = 4
    assert driver.tick(window(rate=500, answered=0.4, wait_s=0.09, missed=0.6)).wanted == 8


def test_the_maximum_holds_and_is_named() -> None:
    driver = Driver(current=3, maximum=4)
    driver.ticks(3, window(rate=900, answered=0.3, wait_s=0.09, missed=0.7))
    assert driver.current == 4
    verdict = driver.tick(window(rate=900, answered=0.4, wait_s=0.09, missed=0.6))
    assert verdict.wanted == 4
    assert "4 is the maximum" in verdict.reason


def test_what_is_asked_for_is_waited_for_unless_the_load_outgrows_it() -> None:
    driver = Driver(current=5, unready=4)
    overload = window(rate=300, answered=0.33, wait_s=0.09, missed=0.6)
    assert driver.ticks(20, overload) == [5] * 20  # needs 3 / 0.7: five will do once they serve
    assert "waiting for 4 more" in driver.tick(overload).reason
    assert driver.tick(window(rate=600, answered=0.17, wait_s=0.09, missed=0.8)).wanted == 9


def test_one_pause_is_no_reason_for_more_replicas() -> None:
    driver = Driver(current=2)
    driver.ticks(4, window(rate=100))
    hiccup = window(rate=100, wait_s=0.09, missed=0.05)
    assert driver.tick(hiccup).wanted == 2
    assert driver.ticks(3, window(rate=100)) == [2] * 3


@pytest.mark.parametrize(
    "slow",
    [window(rate=60, cost_s=0.001, wait_s=0.07), window(rate=110, wait_s=0.03, missed=0.04)],
    ids=["the queue wait eats the objective", "deadlines are missed"],
)
def test_pressure_that_lasts_adds_replicas_though_compute_seconds_do_not_show_why(
    slow: Window,
) -> None:
    driver = Driver(current=2)
    driver.ticks(4, window(rate=60))
    assert driver.tick(slow).wanted == 2
    assert driver.tick(slow).wanted == 3  # 2 / 0.7


def test_queues_of_the_time_before_are_worked_off_before_more_is_asked_for() -> None:
    driver = Driver(current=2)
    slow = window(rate=60, cost_s=0.001, wait_s=0.07)
    driver.ticks(3, slow)
    assert driver.current == 3
    assert driver.ticks(2, slow) == [3, 3]
    assert driver.tick(slow).wanted == 5


def test_a_model_too_slow_for_its_objective_is_not_multiplied() -> None:
    driver = Driver(current=2)
    assert driver.ticks(30, window(rate=4, cost_s=0.15, missed=1.0)) == [2] * 30


def test_without_an_application_there_is_no_objective_to_miss() -> None:
    driver = Driver(current=2, objective_s=None)
    assert driver.ticks(5, window(rate=100, wait_s=0.5, missed=0.5)) == [2] * 5


def test_nothing_shrinks_before_the_cool_down_and_then_step_by_step() -> None:
    driver = Driver(current=8)
    wanted = driver.ticks(13, window(rate=50))
    assert wanted == [8] * 12 + [6]
    assert driver.ticks(13, window(rate=50)) == [6] * 12 + [5]
    driver.ticks(60, window(rate=50))
    assert driver.current == 1


def test_a_moment_of_load_begins_the_cool_down_afresh() -> None:
    driver = Driver(current=4)
    driver.ticks(10, window(rate=50))
    driver.tick(window(rate=270))
    assert driver.ticks(11, window(rate=50)) == [4] * 11
    driver.ticks(4, window(rate=50))
    assert driver.current == 3


def test_the_cool_down_is_a_setting() -> None:
    driver = Driver(current=2, settings=ScalingSettings(cool_down_s=20.0))
    assert driver.ticks(5, window(rate=50)) == [2, 2, 2, 2, 1]


def test_never_fewer_than_the_load_needs_nor_than_the_minimum() -> None:
    driver = Driver(current=8)
    driver.ticks(200, window(rate=230))
    assert driver.current == 4  # 2.3 busy at 60 %
    low = Driver(current=8, minimum=3)
    low.ticks(200, window(rate=0))
    assert low.current == 3


def test_a_missing_replica_holds_the_number() -> None:
    driver = Driver(current=3, unready=1)
    assert driver.ticks(40, window(rate=10)) == [3] * 40


def test_no_ready_replica_holds_the_number() -> None:
    driver = Driver(current=3, unready=3)
    assert driver.ticks(40, window(rate=0)) == [3] * 40


def test_missing_measurements_hold_the_number_and_a_gap_begins_the_cool_down_afresh() -> None:
    driver = Driver(current=3)
    driver.ticks(12, window(rate=10))
    assert driver.ticks(8, None) == [3] * 8
    assert driver.ticks(12, window(rate=10)) == [3] * 12
    assert driver.tick(window(rate=10)).wanted == 2


def test_one_failed_look_does_not_begin_the_cool_down_afresh() -> None:
    driver = Driver(current=3)
    driver.ticks(6, window(rate=10))
    driver.tick(None)
    driver.ticks(5, window(rate=10))
    assert driver.tick(window(rate=10)).wanted == 2


def test_zero_replicas_are_the_operators_choice() -> None:
    driver = Driver(current=0)
    assert driver.ticks(30, window(rate=500, missed=1.0)) == [0] * 30
    assert "operator" in driver.tick(None).reason


@pytest.mark.parametrize(("current", "wanted"), [(1, 2), (9, 6)])
def test_bounds_are_kept_even_without_measurements(current: int, wanted: int) -> None:
    driver = Driver(current=current, minimum=2, maximum=6)
    assert driver.tick(None).wanted == wanted


def test_small_batches_do_not_pass_for_a_load() -> None:
    """Two replicas are always busy with half-empty batches; nobody waits, so two are enough."""
    driver = Driver(current=2)
    assert driver.ticks(60, window(rate=200, batch=4, fullness=0.4)) == [2] * 60


def test_a_cheaper_cost_in_larger_batches_is_remembered_on_the_way_down() -> None:
    driver = Driver(current=8)
    driver.ticks(20, window(rate=5000, cost_s=0.0008, batch=20))
    driver.ticks(100, window(rate=1000, cost_s=0.004, fullness=0.1))
    assert driver.current == 2  # 0.8 busy at the larger batches' cost; 7 at that of single queries


def test_a_rate_that_was_too_much_is_not_gone_back_to() -> None:
    driver = Driver(current=2, settings=ScalingSettings(lesson_s=600.0))
    driver.ticks(4, window(rate=100, cost_s=0.001, wait_s=0.07))
    assert driver.current == 3
    assert driver.ticks(110, window(rate=100, cost_s=0.001)) == [3] * 110
    driver.ticks(30, window(rate=100, cost_s=0.001))
    assert driver.current < 3  # the lesson is old


def test_a_much_smaller_load_is_not_held_up_by_that_lesson() -> None:
    driver = Driver(current=2)
    driver.ticks(4, window(rate=100, cost_s=0.001, wait_s=0.07))
    driver.ticks(40, window(rate=20, cost_s=0.001))
    assert driver.current == 1


def test_settings_without_hysteresis_are_refused() -> None:
    with pytest.raises(ValueError, match="keep_busy_share"):
        ScalingSettings(target_busy_share=0.5)
