"""Time as a parameter: components that wait take a `Clock`, so tests can own it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Cancellable(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Prevent the call; harmless when it already happened."""


class Clock(Protocol):
    """Monotonic seconds and delayed calls."""

    def now(self) -> float:
        """Return seconds since an arbitrary origin; never goes back."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Run ``callback`` once, about ``delay_s`` from now; it checks for itself if it is due."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` after what is running now has returned."""

    def after_reading(self, callback: Callable[[], None]) -> Cancellable:
        """Run ``callback`` once what has arrived by now, on any connection, was read."""


class LoopClock:
    """The clock of a running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = time.monotonic

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Cancellable:
        """Run ``callback`` once after about ``delay_s`` (the loop may be 1 ms early)."""
        return self._loop.call_later(delay_s, callback)

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` in the loop's next iteration."""
        self._loop.call_soon(callback)

    def after_reading(self, callback: Callable[[], None]) -> Cancellable:
        """Run ``callback`` after the loop's next look at its sockets."""
        return _AfterReading(self._loop, callback)


class _AfterReading:
    """Two turns of the loop: uvloop runs what a timer calls soon before it looks at its sockets."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback
        loop.call_soon(loop.call_soon, self._run)

    def cancel(self) -> None:
        self._callback = None

    def _run(self) -> None:
        if self._callback is not None:
            self._callback()
