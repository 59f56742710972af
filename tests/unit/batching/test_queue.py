from __future__ import annotations

import random

import pytest

from clipper.batching.queue import ModelQueue
from clipper.batching.task import PredictTask

from .support import FakeWaiter, task


def names(queue: ModelQueue) -> list[str]:
    return [item.input.decode() for item in queue.drain()]


def make() -> tuple[ModelQueue, list[PredictTask]]:
    dead: list[PredictTask] = []
    return ModelQueue(dead.append), dead


def test_earliest_deadline_first_whatever_the_order_of_arrival() -> None:
    queue, _ = make()
    deadlines = list(range(50))
    random.Random(1).shuffle(deadlines)
    for deadline in deadlines:
        queue.put(task(f"{deadline:02}", float(deadline)), 0.0)

    assert len(queue) == 50
    assert names(queue) == [f"{deadline:02}" for deadline in range(50)]
    assert len(queue) == 0


def test_a_task_nobody_waits_for_leaves_the_queue_and_is_reported() -> None:
    queue, dead = make()
    gone, alive = task("gone", 1.0), task("alive", 2.0)
    queue.put(gone, 0.0)
    queue.put(alive, 0.0)
    gone.waiters[0].done = True

    assert queue.pop() is alive
    assert dead == [gone]
    assert len(queue) == 0


def test_a_joining_waiter_with_an_earlier_deadline_moves_the_task_forward() -> None:
    queue, _ = make()
    late, middle = task("late", 10.0), task("middle", 5.0)
    queue.put(late, 0.0)
    queue.put(middle, 0.0)
    late.waiters.append(FakeWaiter(1.0))
    late.deadline_s = 1.0
    queue.expedite(late)

    assert names(queue) == ["late", "middle"]


def test_a_task_falls_back_when_its_most_urgent_waiter_is_gone() -> None:
    queue, _ = make()
    joined, middle = task("joined", 1.0), task("middle", 5.0)
    joined.waiters.append(FakeWaiter(10.0))
    queue.put(joined, 0.0)
    queue.put(middle, 0.0)
    joined.waiters[0].done = True

    assert names(queue) == ["middle", "joined"]
    assert joined.deadline_s == 10.0


@pytest.mark.parametrize("step_s", [1.0, -1.0], ids=["in order", "in reverse"])
def test_discarded_tasks_are_not_kept_in_memory(step_s: float) -> None:
    queue, _ = make()
    keep = task("keep", 0.5)
    queue.put(keep, 0.0)
    for number in range(5000):
        item = task(str(number), 10_000.0 + step_s * number)
        queue.put(item, 0.0)
        queue.discard(item)

    assert len(queue) == 1
    assert len(queue._line) + len(queue._heap) < 1200
    assert queue.pop() is keep


def test_of_equal_deadlines_the_first_to_come_is_first() -> None:
    queue, _ = make()
    for name, deadline_s in [("b1", 2.0), ("c1", 3.0), ("b2", 2.0), ("a", 1.0), ("c2", 3.0)]:
        queue.put(task(name, deadline_s), 0.0)

    assert names(queue) == ["a", "b1", "b2", "c1", "c2"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_to_tasks_the_most_urgent_that_is_waited_for_comes_first(
    seed: int,
) -> None:
    source = random.Random(seed)
    queue, dead = make()
    live: list[PredictTask] = []
    for number in range(400):
        match source.choice(["put", "put", "put", "pop", "discard", "join", "leave"]):
            case "put":
                item = task(str(number), number + source.choice([0.0, 0.0, 50.0]))
                queue.put(item, 0.0)
                live.append(item)
            case "pop":
                head = queue.head()
                assert queue.pop() is head
                live = [task for task in live if task.queued]
            case "discard" if live:
                item = live.pop(source.randrange(len(live)))
                queue.discard(item)
            case "join" if live:
                item = source.choice(live)
                item.join(FakeWaiter(item.deadline_s - 10.0))
                item.deadline_s -= 10.0
                queue.expedite(item)
            case "leave" if live:
                source.choice(live).waiters[0].done = True
        waited_for = [task for task in live if task.alive]
        soonest_s = min((_deadline_s(task) for task in waited_for), default=None)
        head = queue.head()
        assert (None if head is None else head.deadline_s) == soonest_s
        live = [task for task in live if task.queued]
    assert len(queue) == len(live)
    assert not any(task.alive for task in dead)


def _deadline_s(task: PredictTask) -> float:
    return min(waiter.deadline_s for waiter in task.waiters if not waiter.done)


def test_discard_and_requeue_keep_the_count_right() -> None:
    queue, _ = make()
    item = task("again", 1.0)
    for _ in range(3):
        queue.put(item, 0.0)
        queue.discard(item)
        queue.discard(item)
    queue.put(item, 7.0)

    assert len(queue) == 1
    assert names(queue) == ["again"]


def test_a_requeued_task_keeps_the_time_it_was_first_queued() -> None:
    queue, _ = make()
    item = task("again", 1.0)
    queue.put(item, 3.0)
    queue.pop()
    queue.put(item, 9.0)

    assert item.enqueued_s == 3.0
