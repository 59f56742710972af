"""Synthetic models: they sleep, or burn processor time, by a known law of the batch size.

Each function here returns what is deployed as a Python closure.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from typing import Any

Function = Callable[[Any], list[float]]


def sleeping(fixed_s: float, item_s: float) -> Function:
    """Sleep ``fixed_s + n * item_s`` for a batch of n: an accelerator that costs no processor."""

    def predict(inputs: Any) -> list[float]:
        time.sleep(fixed_s + item_s * len(inputs))
        return [float(x[0]) for x in inputs]

    return predict


def burning(fixed_s: float, item_s: float) -> Function:
    """Keep a processor busy for as long."""

    def predict(inputs: Any) -> list[float]:
        end_s = time.thread_time() + fixed_s + item_s * len(inputs)
        while time.thread_time() < end_s:
            pass
        return [float(x[0]) for x in inputs]

    return predict


def behind_link(fixed_s: float, item_s: float, rate: float, burst: float, state: str) -> Function:
    """Sleep likewise, behind a token bucket that all replicas of the model share.

    Args:
        rate: inputs per second that the link carries.
        burst: inputs that it takes at once after it was idle.
        state: path of a file that the replicas share; it need not exist.
    """

    def predict(inputs: Any) -> list[float]:
        time.sleep(_reserve(state, len(inputs) / rate, burst / rate))
        time.sleep(fixed_s + item_s * len(inputs))
        return [float(x[0]) for x in inputs]

    return predict


def one_slower(fixed_s: float, item_s: float, factor: float, state: str) -> Function:
    """Sleep likewise, ``factor`` times as long in the first replica that computes a batch.

    Args:
        state: path of a file that the first replica creates; it must not exist.
    """
    slowness: list[float] = []

    def predict(inputs: Any) -> list[float]:
        if not slowness:
            slowness.append(factor if _created(state) else 1.0)
        time.sleep(slowness[0] * (fixed_s + item_s * len(inputs)))
        return [float(x[0]) for x in inputs]

    return predict


def _reserve(state: str, cost_s: float, burst_s: float) -> float:
    """Take ``cost_s`` of the link's time; return how long to wait for it."""
    descriptor = os.open(state, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        stored = os.pread(descriptor, 8, 0)
        now_s = time.monotonic()
        busy_until_s = struct.unpack("d", stored)[0] if stored else now_s
        busy_until_s = max(busy_until_s, now_s - burst_s) + cost_s
        os.pwrite(descriptor, struct.pack("d", busy_until_s), 0)
        return max(0.0, busy_until_s - now_s)
    finally:
        os.close(descriptor)


def _created(state: str) -> bool:
    try:
        os.close(os.open(state, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
