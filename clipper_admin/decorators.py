"""The original's retry decorator, for scripts that borrowed it."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def retry(
    exceptions: type[BaseException] | tuple[type[BaseException], ...],
    tries: int = 4,
    delay: float = 3,
    backoff: float = 2,
    logger: logging.Logger | None = None,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Call again while one of the exceptions is raised, waiting ``delay`` seconds, then longer.

    Args:
        tries: calls in all; the last one's exception is passed on.
        backoff: factor by which the delay grows.
        logger: warned of every retry.
    """

    def decorate(func: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(func)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            pause_s = delay
            for _ in range(tries - 1):
                try:
                    return func(*args, **kwargs)
                except exceptions as error:
                    if logger is not None:
                        logger.warning(f"{error}, Retrying in {pause_s} seconds...")
                    sleep(pause_s)
                    pause_s *= backoff
            return func(*args, **kwargs)

        return call

    return decorate
