from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipper.container.placement import Crowding, IoPlacement


def test_crowded_only_while_every_processor_is_busy_as_a_rule() -> None:
    crowding = Crowding(4)
    for running in [3] * 1_000:
        crowding.observe(running)
    assert not crowding.crowded
    for running in [5, 4] * 50:
        crowding.observe(running)
    assert crowding.crowded
    # A share between the two bounds changes nothing, whichever way it was reached.
    for running in [1, 1, 4] * 100:
        crowding.observe(running)
    assert crowding.crowded
    for running in [1] * 100:
        crowding.observe(running)
    assert not crowding.crowded
    for running in [1, 1, 4] * 100:
        crowding.observe(running)
    assert not crowding.crowded


@pytest.fixture
def sleeper() -> Iterator[int]:
    """The native id of a thread that waits."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    done.set()
    thread.join()


class Load:
    """A file like proc(5)'s loadavg, and the time that passes while it is read."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._now_s = 0.0

    def seen_by(self, placement: IoPlacement, text: str) -> None:
        self._file.write_text(text)
        for _ in range(100):
            self._now_s += 0.01
            placement.follow(self._now_s)


@pytest.fixture
def load_file(tmp_path: Path) -> str:
    file = tmp_path / "loadavg"
    file.touch()
    return str(file)


BUSY, IDLE = "0.20 1.51 1.62 2/81 28206\n", "0.20 1.51 1.62 1/81 28206\n"


def test_the_thread_follows_on_a_busy_machine_and_is_let_go(sleeper: int, load_file: str) -> None:
    everywhere = os.sched_getaffinity(0)
    placement, load = IoPlacement(sleeper, 2, load_file), Load(Path(load_file))
    load.seen_by(placement, BUSY)
    assert len(os.sched_getaffinity(sleeper)) == 1
    load.seen_by(placement, IDLE)
    assert os.sched_getaffinity(sleeper) == everywhere
    placement.close()
    load.seen_by(placement, BUSY)
    assert os.sched_getaffinity(sleeper) == everywhere
    assert os.sched_getaffinity(0) == everywhere


def test_it_goes_where_its_leader_goes(sleeper: int, load_file: str) -> None:
    everywhere = os.sched_getaffinity(0)
    placement, load = IoPlacement(sleeper, 2, load_file), Load(Path(load_file))
    try:
        for processor in sorted(everywhere):
            os.sched_setaffinity(0, {processor})
            load.seen_by(placement, BUSY)
            assert os.sched_getaffinity(sleeper) == {processor}
    finally:
        os.sched_setaffinity(0, everywhere)


@pytest.mark.parametrize("text", ["", "what the host does not tell", "1 2 3 x/y 5"])
def test_a_load_that_says_nothing_lets_the_thread_go(
    sleeper: int, load_file: str, text: str
) -> None:
    everywhere = os.sched_getaffinity(0)
    placement, load = IoPlacement(sleeper, 2, load_file), Load(Path(load_file))
    load.seen_by(placement, BUSY)
    load.seen_by(placement, text)
    assert os.sched_getaffinity(sleeper) == everywhere
    load.seen_by(placement, BUSY)
    assert os.sched_getaffinity(sleeper) == everywhere


def test_without_a_second_processor_nothing_is_moved(sleeper: int, load_file: str) -> None:
    everywhere = os.sched_getaffinity(0)
    placement, load = IoPlacement(sleeper, 1, load_file), Load(Path(load_file))
    load.seen_by(placement, BUSY)
    assert os.sched_getaffinity(sleeper) == everywhere


def test_without_the_file_nothing_is_moved(sleeper: int, tmp_path: Path) -> None:
    everywhere = os.sched_getaffinity(0)
    IoPlacement(sleeper, 2, str(tmp_path / "missing")).follow(1.0)
    assert os.sched_getaffinity(sleeper) == everywhere
