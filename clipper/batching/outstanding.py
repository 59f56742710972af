"""A batch on its way: sent to a replica and not yet answered."""

from __future__ import annotations

from clipper.batching.ports import BatchResult, TaskSink
from clipper.batching.task import PredictTask
from clipper.datatypes import DefaultReason


class Outstanding:
    """What its dispatcher remembers of a batch until the answer. Times in seconds of the clock."""

    __slots__ = ("alone", "crowded", "due_s", "full", "held", "late", "late_s", "sent_s", "tasks")

    def __init__(
        self,
        tasks: list[PredictTask],
        sent_s: float,
        due_s: float,
        full: bool,
        held: bool,
        crowded: bool,
    ) -> None:
        self.tasks = tasks
        self.sent_s = sent_s
        self.due_s = due_s
        """When the container is expected to be done with it."""
        self.full = full
        """The queue held as many queries as the policy allowed."""
        self.held = held
        """It could have left before, and was held back until the one before it was nearly done."""
        self.crowded = crowded
        """It left queries behind in the queue."""
        self.alone = len(tasks) == 1 and tasks[0].runs_alone
        self.late_s = float("inf")
        """From when on the replica is suspect because of it."""
        self.late = False

    def missed(self, now_s: float) -> int:
        """Return how many of its tasks are too late if the answer comes now.

        The most urgent was taken first, so that usually one comparison tells that there are none.
        """
        if self.tasks[0].deadline_s >= now_s:
            return 0
        return sum(not task.settled and task.deadline_s < now_s for task in self.tasks)

    def hand_out(self, result: BatchResult, sink: TaskSink) -> None:
        """Tell the outcome of each of its tasks."""
        for index, task in enumerate(self.tasks):
            error = result.errors.get(index) if result.errors else None
            if error is None:
                sink.completed(task, result.outputs[index])
            else:
                sink.failed(task, DefaultReason.MODEL_ERROR, error)
