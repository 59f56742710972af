"""Threads that ask for short slices."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
import threading

import pytest

from clipper.scheduling import ask_for_short_slices

_GET_ATTRIBUTES = {"x86_64": 315, "aarch64": 275}
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")

pytestmark = pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in _GET_ATTRIBUTES,
    reason="the system knows no slices",
)


def _attributes() -> tuple[int, ...]:
    room = ctypes.create_string_buffer(_ATTRIBUTES.size)
    number = _GET_ATTRIBUTES[platform.machine()]
    assert ctypes.CDLL(None).syscall(number, 0, room, _ATTRIBUTES.size, 0) == 0
    return _ATTRIBUTES.unpack(room.raw)


def _in_a_thread(function: object) -> list[object]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return results


def test_a_thread_gets_short_slices_and_keeps_its_niceness() -> None:
    def ask() -> tuple[bool, tuple[int, ...]]:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 3)
        return ask_for_short_slices(), _attributes()

    before = _attributes()
    [(asked, after)] = _in_a_thread(ask)  # type: ignore[misc]

    assert asked
    assert (after[1], after[3]) == (before[1], min(19, before[3] + 3))
    if tuple(map(int, platform.release().split(".")[:2])) >= (6, 12):
        assert after[5] == 100_000
    assert _attributes() == before, "only the thread that asks"


def test_what_such_a_thread_starts_does_not_inherit_it() -> None:
    def start() -> str:
        assert ask_for_short_slices()
        code = "from tests.unit.test_scheduling import _attributes; print(_attributes()[5])"
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout

    assert _in_a_thread(start) == [f"{_attributes()[5]}\n"]


def test_another_policy_of_the_kernel_stays_in_force() -> None:
    def ask() -> tuple[bool, int]:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        return ask_for_short_slices(), os.sched_getscheduler(0)

    assert _in_a_thread(ask) == [(False, os.SCHED_BATCH)]
