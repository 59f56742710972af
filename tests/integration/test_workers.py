"""A supervisor and its workers as real processes, with stand-ins for the frontend itself."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.fakes.frontend_pool import (
    REPOSITORY,
    FrontendPool,
    free_ports,
    frontend_pool,
    wait_until,
)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "log"


def _hub_directories(pool: FrontendPool) -> list[str]:
    return [
        argument.rpartition("/")[0]
        for child in pool.children()
        for argument in child.cmdline()
        if argument.endswith("metrics.sock")
    ]


def _gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def _count(pool: FrontendPool, worker: int, times: int) -> None:
    for _ in range(times):
        pool.ask(worker, "count")


def test_workers_share_the_port_and_each_answers_with_the_sum(log: pathlib.Path) -> None:
    with frontend_pool(log, workers=3) as pool:
        seen: set[str] = set()
        wait_until(
            lambda: seen.add(pool.ask(None, "pid")) or len(seen) == 3, "each gets connections"
        )
        for worker in range(3):
            _count(pool, worker, worker + 1)
        # No wait: a scrape is of now, not of what was pushed last.
        assert [pool.scrape(worker) for worker in range(3)] == [6, 6, 6]


def test_a_killed_worker_is_started_again_and_its_counts_are_kept(log: pathlib.Path) -> None:
    with frontend_pool(log) as pool:
        _count(pool, 0, 3)
        _count(pool, 1, 4)
        assert pool.scrape(1) == 7
        victim = pool.pid(0)
        os.kill(victim, signal.SIGKILL)
        pool.wait_for_successor(0, victim)
        assert pool.scrape(1) == 7
        _count(pool, 0, 1)
        assert [pool.scrape(0), pool.scrape(1)] == [8, 8]
        assert f"worker 0 (pid {victim}) was killed by SIGKILL; starting it again in 0.1 s" in (
            log.read_text()
        )


def test_a_worker_that_ends_by_itself_pushes_its_last_counts(log: pathlib.Path) -> None:
    with frontend_pool(log) as pool:
        _count(pool, 0, 5)
        first = pool.pid(0)
        os.kill(first, signal.SIGTERM)
        pool.wait_for_successor(0, first)
        assert pool.scrape(1) == 5


def test_a_hanging_worker_does_not_hang_the_scrape(log: pathlib.Path) -> None:
    with frontend_pool(log) as pool:
        _count(pool, 0, 2)
        assert pool.scrape(1) == 2
        with pytest.raises(TimeoutError):
            pool.ask(0, "hang", timeout_s=0.3)
        started_s = time.monotonic()
        assert pool.scrape(1) == 2
        assert time.monotonic() - started_s < 2.0


def test_nothing_is_left_after_sigterm(log: pathlib.Path) -> None:
    with frontend_pool(log) as pool:
        workers, directories = pool.children(), _hub_directories(pool)
        assert len(workers) == len(directories) == 2
        assert oct(os.stat(directories[0]).st_mode)[-3:] == "700"
        pool.process.terminate()
        assert pool.process.wait(20) == 0
        assert _gone(workers)
        assert not os.path.exists(directories[0])
        assert "Traceback" not in log.read_text()


def test_a_worker_that_does_not_drain_is_killed_after_the_grace(log: pathlib.Path) -> None:
    with frontend_pool(log, grace_s=0.5) as pool:
        workers = pool.children()
        with pytest.raises(TimeoutError):
            pool.ask(0, "hang", timeout_s=0.3)
        pool.process.send_signal(signal.SIGINT)
        assert pool.process.wait(20) == 0
        assert _gone(workers)


def test_workers_do_not_outlive_a_killed_supervisor(log: pathlib.Path) -> None:
    with frontend_pool(log) as pool:
        workers = pool.children()
        with pytest.raises(TimeoutError):
            pool.ask(0, "hang", timeout_s=0.3)
        pool.process.kill()
        pool.process.wait()
        wait_until(lambda: _gone(workers), "the workers are gone")


@pytest.mark.parametrize("taken", ["http", "rpc"])
def test_a_second_frontend_on_a_taken_port_fails_and_steals_nothing(
    log: pathlib.Path, taken: str
) -> None:
    with frontend_pool(log) as pool:
        port, flag = (pool.port, "--port") if taken == "http" else (pool.rpc_port, "--rpc-port")
        [free] = free_ports(1)
        ports = (port, free) if taken == "http" else (free, port)
        command = [sys.executable, "-m", "tests.fakes.frontend_pool", "supervise"]
        second = subprocess.run(
            command + [str(ports[0]), str(ports[1]), "1", "1"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert second.returncode == 1
        assert f"Port {port} on 127.0.0.1 cannot be used: Address already in use" in second.stderr
        assert f"choose another port with {flag}." in second.stderr
        assert {pool.pid(0), pool.pid(1)} == {child.pid for child in pool.children()}
