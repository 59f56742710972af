"""A cluster that is stopped, killed or found again from another process is the same cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from clipper.managers.local import LocalContainerManager
from tests.e2e.clusters import Cluster, eventually, free_port, free_ports

from . import models

WORKERS = 2


class Home:
    """A state directory, and managers for it as different processes would make them."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.ports = {
            "clipper_query_port": free_port(),
            "clipper_management_port": free_port(),
            "clipper_rpc_port": free_ports(WORKERS),
        }

    def cluster(self) -> Cluster:
        manager = LocalContainerManager("restart", state_dir=str(self.state), **self.ports)
        return Cluster(ClipperConnection(manager), manager)

    def started(self) -> Cluster:
        cluster = self.cluster()
        cluster.connection.start_clipper(qf_http_thread_pool_size=WORKERS)
        return cluster

    def processes(self) -> list[psutil.Process]:
        """Every process of this machine that knows the state directory, this one excepted."""
        return [p for p in psutil.process_iter() if p.pid != os.getpid() and self._knows(p)]

    def _knows(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            words = [*process.cmdline(), *process.environ().values(), process.cwd()]
        except psutil.Error:
            return False
        return any(str(self.state) in word for word in words)

    def listeners(self) -> list[int]:
        first_rpc = self.ports["clipper_rpc_port"]
        mine = {*self.ports.values(), *range(first_rpc, first_rpc + WORKERS)}
        connections = psutil.net_connections("tcp")
        listening = [c.laddr.port for c in connections if c.status == psutil.CONN_LISTEN]
        return sorted(mine & set(listening))

    def assert_nothing_is_left(self) -> None:
        assert self.processes() == []
        assert self.listeners() == []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    try:
        yield home
    finally:
        home.cluster().connection.stop_all(graceful=False)
        home.assert_nothing_is_left()


def furnish(cluster: Cluster) -> None:
    """Two applications; ``m`` with two versions, the older one current, two replicas."""
    connection = cluster.connection
    connection.register_application("app", "doubles", "DEFAULT", 2_000_000)
    connection.register_application("bare", "strings", "nobody", 100_000)
    for version in (1, 2):
        python_deployer.deploy_python_closure(
            connection, "m", version, "doubles", models.tagged(f"v{version}")
        )
    connection.link_model_to_app("app", "m")
    connection.set_model_version("m", "1")
    connection.set_num_replicas("m", 2, "1")


def assert_furnished(cluster: Cluster) -> None:
    connection = cluster.connection
    assert set(connection.get_all_apps()) == {"app", "bare"}
    assert connection.get_linked_models("app") == ["m"]
    assert connection.get_linked_models("bare") == []
    assert connection.get_current_model_version("m") == "1"
    assert connection.get_num_replicas("m", "1") == 2
    assert connection.get_num_replicas("m", "2") == 1
    eventually(lambda: cluster.ready_replicas("m", "1") == 2, "both replicas serve")
    for number in range(10):
        assert cluster.predict("app", input=[float(number)])["output"] == f"v1/{float(number)}"
    assert cluster.predict("bare", input="x")["output"] == "nobody"


def test_stop_and_start_bring_everything_back(home: Home) -> None:
    first = home.started()
    furnish(first)
    ids = {first.predict("app", input=[9.0])["query_id"]}
    assert len(home.listeners()) == 2 + WORKERS
    first.connection.stop_all()
    home.assert_nothing_is_left()

    for _ in range(2):
        again = home.started()
        # At once: start_clipper returns when the models serve.
        answer = again.predict("app", input=[5.0])
        assert answer["output"] == "v1/5.0"
        assert answer["query_id"] not in ids
        ids.add(answer["query_id"])
        assert_furnished(again)
        again.connection.stop_all(graceful=False)
        home.assert_nothing_is_left()

    home.cluster().manager.delete_state()
    assert not home.state.exists()


def test_a_killed_supervisor_takes_everything_along_and_start_brings_it_back(home: Home) -> None:
    first = home.started()
    furnish(first)
    os.kill(first.pids("supervisor")[0], signal.SIGKILL)
    eventually(lambda: not home.processes() and not home.listeners(), "nothing is left", 15.0)
    with pytest.raises(ClipperException, match=r"start_clipper|clipper up"):
        home.cluster().connection.connect()

    again = home.started()
    assert_furnished(again)


def test_start_at_once_after_the_supervisor_was_killed(home: Home) -> None:
    cluster = home.started()
    furnish(cluster)
    for _ in range(3):
        os.kill(cluster.pids("supervisor")[0], signal.SIGKILL)
        cluster = home.started()
    assert_furnished(cluster)


def test_a_started_cluster_is_not_started_twice(home: Home) -> None:
    first = home.started()
    with pytest.raises(ClipperException, match="already exists"):
        home.started()
    assert first.connection.get_all_apps() == []


FROM_ANOTHER_PROCESS = """
import sys
from clipper.admin.connection import ClipperConnection
from clipper.managers.local import LocalContainerManager
connection = ClipperConnection(LocalContainerManager("restart", state_dir=sys.argv[1]))
connection.connect()
connection.register_application("other", "doubles", "from afar", 100000)
print(sorted(connection.get_all_apps()), connection.get_query_addr())
if sys.argv[2] == "stop":
    connection.stop_all()
"""


def another_process(home: Home, then: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", FROM_ANOTHER_PROCESS, str(home.state), then],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_another_process_finds_the_cluster_by_its_state_directory(home: Home) -> None:
    first = home.started()
    furnish(first)
    out = another_process(home, "leave")
    assert "['app', 'bare', 'other']" in out
    assert first.connection.get_query_addr() in out
    assert first.predict("other", input=[1.0])["output"] == "from afar"

    # And it may stop what it did not start.
    first.connection.unregister_application("other")
    another_process(home, "stop")
    home.assert_nothing_is_left()


def test_stopping_twice_and_what_never_ran_is_fine(home: Home) -> None:
    home.cluster().connection.stop_all()
    first = home.started()
    first.connection.stop_all()
    first.connection.stop_all()
    home.assert_nothing_is_left()
