"""The local supervisor with stand-in commands: real processes, no daemon, no ports."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clipper.errors import ClipperException
from clipper.managers import local_cluster
from clipper.managers.local_plan import ServiceSpec
from clipper.managers.local_protocol import request
from clipper.managers.local_state import StateDir, locked

SLEEPER = "import time; time.sleep(600)"


def spec(role: str, code: str = SLEEPER, rank: int = 3, **fields: Any) -> ServiceSpec:
    argv = (sys.executable, "-c", textwrap.dedent(code))
    log_name = role.replace(":", "-")
    return ServiceSpec(role=role, log_name=log_name, rank=rank, argv=argv, env={}, **fields)


def until(condition: Callable[[], Any], limit_s: float = 15.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return value


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDir]:
    directory = StateDir(tmp_path / "state")
    yield directory
    local_cluster.end(directory, graceful=False)
    # After a violent end the watchdog may need a moment to notice.
    until(lambda: not [p for p in psutil.process_iter() if mentions(p, str(directory.root))])


def mentions(process: psutil.Process, text: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE and text in " ".join(process.cmdline())
    return False


def launch(state: StateDir, *services: ServiceSpec) -> None:
    local_cluster.prepare(state)
    plan = {"cluster": {"cluster_name": "c"}, "services": [s.to_json() for s in services]}
    local_cluster.launch(state, plan)


def ask(state: StateDir, op: str, **fields: Any) -> dict[str, Any]:
    return request(state.supervisor_socket, {"op": op, **fields}, 30.0)


def rows(state: StateDir, role: str) -> list[dict[str, Any]]:
    return [row for row in ask(state, "status")["children"] if row["role"] == role]


def pids(state: StateDir, role: str) -> list[int]:
    return [row["pid"] for row in rows(state, role) if row["pid"] is not None]


def execed(state: StateDir, role: str, count: int = 1) -> list[int]:
    """Wait until every launcher has become its command; return the process numbers."""
    return until(
        lambda: (
            len(found := pids(state, role)) == count
            and all("local_launcher" not in " ".join(psutil.Process(p).cmdline()) for p in found)
            and found
        )
    )


def test_children_outlive_the_call_that_started_them_and_stop_leaves_nothing(
    state: StateDir,
) -> None:
    launch(state, spec("a", replicas=2), spec("b", rank=1))
    children = [*execed(state, "a", 2), *execed(state, "b")]
    supervisor = ask(state, "status")["supervisor"]["pid"]

    local_cluster.end(state, graceful=True)

    assert not any(alive(pid) for pid in [supervisor, *children])
    assert not state.supervisor_socket.exists()
    assert not state.children_file.exists()
    local_cluster.end(state, graceful=True)


def test_a_dead_child_is_restarted_with_its_group_cleared(state: StateDir) -> None:
    code = f"""
        import subprocess, sys, time
        worker = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
        print("worker", worker.pid, flush=True)
        time.sleep(600)
    """
    launch(state, spec("a", code))
    log = state.logs / "a-0.log"
    worker = int(until(lambda: log.exists() and log.read_text()).split()[1])
    first = pids(state, "a")[0]

    os.kill(first, signal.SIGKILL)

    second = until(lambda: [pid for pid in pids(state, "a") if pid != first])
    assert alive(second[0])
    until(lambda: not alive(worker))
    row = rows(state, "a")[0]
    assert (row["restarts"], row["last_exit"], row["state"]) == (1, -9, "running")


def test_a_child_that_keeps_dying_waits_longer_each_time(state: StateDir) -> None:
    launch(state, spec("a", "import time; print(time.time(), flush=True); raise SystemExit(3)"))
    log = state.logs / "a-0.log"
    until(lambda: log.exists() and len(log.read_text().split()) >= 4)
    starts = [float(text) for text in log.read_text().split()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert gaps[0] >= 0.1
    assert gaps[1] >= 0.2
    assert gaps[2] >= 0.4
    assert rows(state, "a")[0]["last_exit"] == 3


def test_the_violent_death_of_the_supervisor_takes_children_and_grandchildren(
    state: StateDir,
) -> None:
    code = f"""
        import subprocess, sys, time
        print(subprocess.Popen([sys.executable, "-c", {SLEEPER!r}]).pid, flush=True)
        time.sleep(600)
    """
    launch(state, spec("a", code), spec("b"))
    log = state.logs / "a-0.log"
    worker = int(until(lambda: log.exists() and log.read_text()))
    children = [*pids(state, "a"), *execed(state, "b")]

    os.kill(ask(state, "status")["supervisor"]["pid"], signal.SIGKILL)

    until(lambda: not any(alive(pid) for pid in [worker, *children]), limit_s=5.0)
    assert not local_cluster.is_running(state)
    launch(state, spec("b"))
    assert execed(state, "b")


def test_stop_works_on_a_supervisor_that_was_killed_or_hangs(state: StateDir) -> None:
    launch(state, spec("a"))
    child = execed(state, "a")[0]
    supervisor = ask(state, "status")["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGSTOP)

    local_cluster.end(state, graceful=False)

    until(lambda: not alive(child) and not alive(supervisor))


def test_services_stop_in_descending_rank(state: StateDir) -> None:
    code = """
        import signal, sys, time
        def stop(*_):
            time.sleep(0.3)
            print(time.time(), flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, stop)
        print("ready", flush=True)
        while True:
            time.sleep(1)
    """
    launch(state, *(spec(f"r{rank}", code, rank=rank) for rank in range(3)))
    logs = [state.logs / f"r{rank}-0.log" for rank in range(3)]
    until(lambda: all(log.exists() and "ready" in log.read_text() for log in logs))

    local_cluster.end(state, graceful=True)

    store, management, query = (float(log.read_text().split()[1]) for log in logs)
    assert query < management < store


def test_an_impatient_stop_does_not_wait_for_a_stubborn_child(state: StateDir) -> None:
    code = """
        import signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("ready", flush=True)
        while True:
            time.sleep(1)
    """
    launch(state, spec("a", code))
    log = state.logs / "a-0.log"
    until(lambda: log.exists() and log.read_text())
    child = pids(state, "a")[0]
    begin = time.monotonic()
    local_cluster.end(state, graceful=False)
    assert time.monotonic() - begin < 5.0
    assert not alive(child)


def test_an_interrupted_start_leaves_no_supervisor(
    state: StateDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def interrupt_at_the_end(*arguments: Any, **options: Any) -> None:
        run(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupt_at_the_end)
    with pytest.raises(KeyboardInterrupt):
        launch(state, spec("a"))
    assert not local_cluster.is_running(state)
    with locked(state.lock_file) as free:
        assert free


def test_two_supervisors_never_share_a_state_directory(state: StateDir) -> None:
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            launch(state, spec("a"))
            outcomes.append("started")
        except local_cluster.AlreadyRunning:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "refused", "refused", "started"]
    assert len(execed(state, "a")) == 1


def test_scaling_keeps_running_replicas_and_drains_the_surplus(state: StateDir) -> None:
    launch(state, spec("a"))
    first = execed(state, "a")
    assert ask(state, "scale", role="a", replicas=3) == {"known": True}
    assert len(pids(state, "a")) == 3
    assert ask(state, "scale", role="a", replicas=1) == {"known": True}
    assert pids(state, "a") == first
    assert ask(state, "scale", role="unknown", replicas=1) == {"known": False}


def test_a_changed_command_replaces_its_processes(state: StateDir) -> None:
    launch(state, spec("a"))
    old = execed(state, "a")
    changed = dataclasses.replace(spec("a"), env={"CHANGED": "1"})
    ask(state, "apply", service=changed.to_json())
    new = pids(state, "a")
    assert len(new) == 1
    assert new != old
    assert not alive(old[0])


def test_declared_services_are_saved_until_removed(state: StateDir) -> None:
    launch(state, spec("a", declared={"name": "a"}, replicas=2), spec("core", rank=0))
    execed(state, "a", 2)
    local_cluster.end(state, graceful=True)
    saved = json.loads(state.cluster_file.read_text())
    assert saved["models"] == [{"model": {"name": "a"}, "num_replicas": 2}]

    launch(state, spec("a", declared={"name": "a"}))
    ask(state, "remove", roles=["a", "unknown"])
    assert json.loads(state.cluster_file.read_text())["models"] == []
    assert pids(state, "a") == []


def test_a_higher_rank_waits_for_the_ready_socket(state: StateDir) -> None:
    state.create()
    path = str(state.store_socket)
    store = f"""
        import socket, time
        time.sleep(0.5)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind({path!r})
        listener.listen()
        time.sleep(600)
    """
    launch(
        state,
        spec("store", store, rank=0, ready_socket=path),
        spec("b", f"import os; print(os.path.exists({path!r}), flush=True); {SLEEPER}"),
    )
    log = state.logs / "b-0.log"
    assert until(lambda: log.exists() and log.read_text()) == "True\n"


def test_a_path_too_long_for_a_socket_is_replaced_by_a_short_one(tmp_path: Path) -> None:
    state = StateDir(tmp_path / ("x" * 120))
    try:
        launch(state, spec("a"))
        assert len(os.fsencode(state.supervisor_socket)) <= 100
        short = state.supervisor_socket.parent
        assert short.stat().st_mode & 0o777 == 0o700
        assert execed(state, "a")
    finally:
        local_cluster.end(state, graceful=False)
    assert not short.exists()


def test_a_command_that_does_not_exist_is_reported_not_fatal(state: StateDir) -> None:
    launch(state, dataclasses.replace(spec("a"), argv=("/nonexistent/python",)), spec("b"))
    until(lambda: rows(state, "a")[0]["last_exit"] == 127)
    assert "cannot be executed" in (state.logs / "a-0.log").read_text()
    assert execed(state, "b")


def test_the_log_of_a_noisy_process_is_bounded_while_it_runs(state: StateDir) -> None:
    limit = 10 * 1024 * 1024
    code = f"""
        import sys, time
        sys.stdout.write("x" * {limit + 1})
        sys.stdout.flush()
        while True:
            time.sleep(0.05)
            print("still here", flush=True)
    """
    launch(state, spec("a", code))
    log, kept = state.logs / "a-0.log", state.logs / "a-0.log.1"
    until(lambda: kept.exists() and 0 < log.stat().st_size < limit)
    assert kept.stat().st_size == limit
    assert log.read_text().startswith(("still here\n", "x"))
    assert rows(state, "a")[0]["restarts"] == 0


def test_malformed_and_unknown_requests_do_not_hurt_the_supervisor(state: StateDir) -> None:
    launch(state, spec("a"))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(state.supervisor_socket))
        connection.sendall(b"nonsense\n")
        connection.settimeout(5)
        assert connection.recv(1) == b""
    with pytest.raises(ClipperException, match="Unknown request: dance"):
        ask(state, "dance")
    assert ask(state, "status")["services"] == {"a": 1}


def test_sigterm_to_the_supervisor_stops_the_cluster(state: StateDir) -> None:
    launch(state, spec("a"))
    child = execed(state, "a")[0]
    supervisor = ask(state, "status")["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGTERM)
    until(lambda: not alive(supervisor))
    assert not alive(child)


def test_a_state_directory_in_use_is_not_deleted(state: StateDir) -> None:
    launch(state, spec("a"))
    with pytest.raises(ClipperException, match="stop it first"):
        local_cluster.delete(state)
    local_cluster.end(state, graceful=False)
    local_cluster.delete(state)
    assert not state.root.exists()
    local_cluster.delete(state)


def test_the_starter_is_not_held_by_pipes_of_the_background_process(state: StateDir) -> None:
    local_cluster.prepare(state)
    code = (
        "import sys; from clipper.managers import local_cluster as c; "
        "from clipper.managers.local_state import StateDir; "
        "c.launch(StateDir(sys.argv[1]), {'cluster': {'cluster_name': 'c'}, 'services': []})"
    )
    argv = [sys.executable, "-c", code, str(state.root)]
    subprocess.run(argv, check=True, capture_output=True, timeout=20)
    assert local_cluster.is_running(state)
