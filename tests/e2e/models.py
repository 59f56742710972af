"""Functions that tests deploy; they travel by value, so each is self-contained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Predict = Callable[[Any], list[Any]]


def doubler(sleep_s: float = 0.0) -> Predict:
    """Return a model that answers twice its first number, after ``sleep_s`` for each batch."""

    def predict(inputs: Any) -> list[Any]:
        import time

        if sleep_s:
            time.sleep(sleep_s)
        return [float(x[0]) * 2 for x in inputs]

    return predict


def lock_holder(hold_s: float) -> Predict:
    """Return a doubler that keeps the interpreter's lock in C, so that no other thread runs."""

    def predict(inputs: Any) -> list[Any]:
        import ctypes

        ctypes.PyDLL(None).usleep(int(hold_s * 1e6))
        return [float(x[0]) * 2 for x in inputs]

    return predict


def tagged(tag: str) -> Predict:
    """Return a model that answers its tag and its first number."""

    def predict(inputs: Any) -> list[Any]:
        return [f"{tag}/{float(x[0])}" for x in inputs]

    return predict


def crasher() -> Predict:
    """Return a model whose process dies of a negative number, as of a fault in C code."""

    def predict(inputs: Any) -> list[Any]:
        import os
        import signal

        if any(x[0] < 0 for x in inputs):
            os.kill(os.getpid(), signal.SIGKILL)
        return [float(x[0]) * 2 for x in inputs]

    return predict


def raiser() -> Predict:
    """Return a model that raises when a negative number is in the batch."""

    def predict(inputs: Any) -> list[Any]:
        if any(x[0] < 0 for x in inputs):
            raise ValueError("negative input")
        return [float(x[0]) * 2 for x in inputs]

    return predict


def slowed_by(path: str) -> Predict:
    """Return a model that takes as many seconds a batch as the file says; absent means none."""

    def predict(inputs: Any) -> list[Any]:
        import os
        import time

        if os.path.exists(path):
            with open(path) as file:
                seconds = float(file.read() or 0)
            time.sleep(seconds)
        return [float(x[0]) * 2 for x in inputs]

    return predict


def saying(name: str) -> Predict:
    """Return a model that says "same", as others do, or its own name if the first number is odd."""

    def predict(inputs: Any) -> list[Any]:
        return [name if int(x[0]) % 2 else "same" for x in inputs]

    return predict


def held_up(gate: str, journal: str) -> Predict:
    """Return a model that answers its batches once a file is there, and notes every input."""

    def predict(inputs: Any) -> list[Any]:
        import os
        import time

        with open(journal, "a") as file:
            file.writelines(f"{x[0]}\n" for x in inputs)
        give_up_at = time.monotonic() + 60.0
        while not os.path.exists(gate) and time.monotonic() < give_up_at:
            time.sleep(0.01)
        return ["held up"] * len(inputs)

    return predict
