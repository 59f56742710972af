"""Feedback on its way to the store: what arrives while a batch is written goes in the next one.

Being on disk costs about a millisecond or, on some servers, a tenth of a second, whatever the
number of feedbacks. Written together they are fast, and the first one never waits for company.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses

from clipper.errors import StoreUnavailable
from clipper.store.selection import FeedbackWrite, SelectionStore

_Registration = tuple[str, int]
"""Application and generation."""


@dataclasses.dataclass(frozen=True, slots=True)
class FeedbackWriterSettings:
    """Limits of one worker's `FeedbackWriter`."""

    batch: int = 500
    """Feedbacks in one write: the server does nothing else meanwhile."""
    batch_bytes: int = 1 << 20
    """Log entries in one write; one that is larger goes alone."""
    max_waiting: int = 10_000
    """Feedbacks of one application that wait; more are refused."""


class _Waiter:
    __slots__ = ("done", "write")

    def __init__(self, write: FeedbackWrite, done: asyncio.Future[bool]) -> None:
        self.write = write
        self.done = done

    @property
    def size_bytes(self) -> int:
        return len(self.write.log_entry or b"")


class FeedbackWriter:
    """Writes feedback in groups; one write per application is on its way at a time."""

    def __init__(
        self, store: SelectionStore, settings: FeedbackWriterSettings = FeedbackWriterSettings()
    ) -> None:
        self._store = store
        self._settings = settings
        self._waiting: dict[_Registration, collections.deque[_Waiter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, app: str, generation: int, write: FeedbackWrite) -> bool:
        """Return when the feedback is on disk: whether it was new.

        Cancelled, it may still be stored. Harmless when repeated.

        Raises:
            StoreUnavailable: it may or may not be stored; or too much feedback waits.
            InvalidRequest: see `SelectionStore.write_feedback`.
        """
        registration = (app, generation)
        waiting = self._waiting.get(registration)
        if waiting is None:
            waiting = self._waiting[registration] = collections.deque()
            task = asyncio.create_task(self._run(registration, waiting))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if len(waiting) >= self._settings.max_waiting:
            raise StoreUnavailable(
                f"There is too much feedback for the application {app}: {len(waiting)} wait to be "
                "stored. Send it again later, and more slowly."
            )
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting.append(_Waiter(write, done))
        return await done

    async def drain(self) -> None:
        """Return when nothing waits any more, for a graceful stop."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _run(self, registration: _Registration, waiting: collections.deque[_Waiter]) -> None:
        """Write until nothing waits; then the registration is idle and nothing is kept of it."""
        batch: list[_Waiter] = []
        try:
            while waiting:
                batch = self._next_batch(waiting)
                await self._commit(registration, batch)
        finally:
            del self._waiting[registration]
            # Only a cancellation leaves anybody behind.
            _fail([*batch, *waiting], StoreUnavailable("Clipper is stopping; send it again"))

    def _next_batch(self, waiting: collections.deque[_Waiter]) -> list[_Waiter]:
        """Take the longest waiting whose callers have not gone."""
        batch: list[_Waiter] = []
        size_bytes = 0
        while waiting and len(batch) < self._settings.batch:
            waiter = waiting[0]
            size_bytes += waiter.size_bytes
            if batch and size_bytes > self._settings.batch_bytes:
                break
            waiting.popleft()
            if not waiter.done.done():
                batch.append(waiter)
        return batch

    async def _commit(self, registration: _Registration, batch: list[_Waiter]) -> None:
        if not batch:
            return
        try:
            writes = [waiter.write for waiter in batch]
            results = await self._store.write_feedback(*registration, writes)
        except Exception as error:
            _fail(batch, error)  # whoever waits answers for it, bugs included
        else:
            for waiter, new in zip(batch, results, strict=True):
                if not waiter.done.done():
                    waiter.done.set_result(new)


def _fail(batch: list[_Waiter], error: Exception) -> None:
    for waiter in batch:
        if not waiter.done.done():
            waiter.done.set_exception(error)
