from __future__ import annotations

import random

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


def test_discarded_tasks_are_not_kept_in_memory() -> None:
    queue, _ = make()
    keep = task("keep", 0.5)
    queue.put(keep, 0.0)
    for number in range(5000):
        item = task(str(number), 1.0 + number)
        queue.put(item, 0.0)
        queue.discard(item)

    assert len(queue) == 1
    assert len(queue._heap) < 1200
    assert queue.pop() is keep


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
