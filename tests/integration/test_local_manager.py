"""LocalContainerManager with stand-in servers in place of the daemon."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers import local
from clipper.managers.base import ClusterOptions
from clipper.managers.local import LocalContainerManager
from clipper.managers.local_plan import ClusterRecord, DeclaredModel, ServiceSpec
from clipper.managers.local_state import StateDir
from clipper.managers.ports import free_port, is_free

OPTIONS = ClusterOptions(
    query_frontend_image="", mgmt_frontend_image="", frontend_exporter_image=""
)

SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

REPLICA = """
import os, time
print({key: value for key, value in os.environ.items() if key.startswith("CLIPPER_")}, flush=True)
if os.path.exists(os.path.join(os.environ["CLIPPER_MODEL_PATH"], "broken")):
    raise ImportError("no module named lightgbm")
time.sleep(600)
"""


def stand_in(role: str, rank: int, code: str, *arguments: object) -> ServiceSpec:
    argv = (sys.executable, "-c", code, *map(str, arguments))
    return ServiceSpec(role=role, log_name=role, rank=rank, argv=argv, env={})


def stand_in_core(cluster: ClusterRecord, state: StateDir) -> list[ServiceSpec]:
    return [
        stand_in("management-frontend", 1, SERVER, cluster.management_port),
        stand_in("query-frontend", 2, SERVER, cluster.query_port),
    ]


def stand_in_model(real: Callable[..., ServiceSpec]) -> Callable[..., ServiceSpec]:
    def make(cluster: ClusterRecord, model: DeclaredModel, *rest: Any) -> ServiceSpec:
        spec = real(cluster, model, *rest)
        return dataclasses.replace(spec, argv=(sys.executable, "-c", REPLICA))

    return make


def until(condition: Callable[[], Any], limit_s: float = 15.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)
    return value


class Home:
    """A state directory and three ports; makes managers that share them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ports = [free_port() for _ in range(3)]

    def manager(self, **changes: Any) -> LocalContainerManager:
        query, management, rpc = self.ports
        arguments: dict[str, Any] = {
            "cluster_name": "test",
            "state_dir": self.directory,
            "clipper_query_port": query,
            "clipper_management_port": management,
            "clipper_rpc_port": rpc,
        }
        return LocalContainerManager(**{**arguments, **changes})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setattr(local, "core_services", stand_in_core)
    monkeypatch.setattr(local, "model_service", stand_in_model(local.model_service))
    shared = Home(tmp_path / "state")
    yield shared
    shared.manager().stop_all(graceful=False)
    assert all(is_free("127.0.0.1", port) for port in shared.ports)


def test_a_cluster_is_found_by_another_manager_and_stops_completely(home: Home) -> None:
    home.manager(token="secret").start_clipper(OPTIONS)
    other = LocalContainerManager("test", state_dir=home.directory)
    other.connect()
    query, management, _ = home.ports
    assert other.get_query_addr() == f"127.0.0.1:{query}"
    assert other.get_admin_addr() == f"127.0.0.1:{management}"
    assert other.get_metric_addr() == other.get_query_addr()
    assert set(other.child_pids()) == {"supervisor", "management-frontend", "query-frontend"}
    assert other.status()["state"] == "running"

    LocalContainerManager("test", state_dir=home.directory).stop_all()

    assert other.child_pids() == {}
    assert other.status()["state"] == "stopped"
    with pytest.raises(ClipperException, match=r"Cluster test is not running.*clipper up"):
        other.connect()


def test_isolation_chosen_at_the_start_holds_for_later_builds(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "build_environment", lambda *_: sys.executable)
    home.manager(isolated_environments=True).start_clipper(OPTIONS)
    other = LocalContainerManager("test", state_dir=home.directory)
    other.connect()
    data = tmp_path / "data"
    data.mkdir()
    packages = ["no-such-package"]
    other.build_model("m", "1", str(data), "noop-container", pkgs_to_install=packages)


def test_start_twice_names_connect(home: Home) -> None:
    home.manager().start_clipper(OPTIONS)
    with pytest.raises(ClipperException) as raised:
        home.manager().start_clipper(OPTIONS)
    assert raised.value.msg == (
        "Cluster test cannot be started because it already exists. "
        "Please use ClipperConnection.connect() to connect to it."
    )
    home.manager().connect()


@pytest.mark.parametrize(
    ("taken", "parameter"),
    [(0, "clipper_query_port"), (1, "clipper_management_port"), (2, "clipper_rpc_port")],
)
@pytest.mark.parametrize("shared", [False, True])
def test_a_taken_port_fails_the_start_and_nothing_runs(
    home: Home, taken: int, parameter: str, shared: bool
) -> None:
    with socket.socket() as owner:
        if shared:
            owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", home.ports[taken]))
        owner.listen()
        with pytest.raises(ClipperException, match=f"{home.ports[taken]}.*{parameter}"):
            home.manager().start_clipper(OPTIONS)
    assert home.manager().child_pids() == {}


def test_a_frontend_that_dies_fails_the_start_with_its_log(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(cluster: ClusterRecord, state: StateDir) -> list[ServiceSpec]:
        management, _ = stand_in_core(cluster, state)
        return [management, stand_in("query-frontend", 2, "raise SystemExit('no libfoo here')")]

    monkeypatch.setattr(local, "core_services", broken)
    with pytest.raises(ContainerStartError, match=r"(?s)query-frontend exited.*no libfoo here"):
        home.manager().start_clipper(OPTIONS)
    assert home.manager().child_pids() == {}


def test_replicas_go_up_and_down_and_are_forgotten_when_stopped(home: Home) -> None:
    manager = home.manager()
    manager.start_clipper(OPTIONS)
    manager.deploy_model("m", "1", "doubles", "clipper/noop-container:0.5")
    manager.deploy_model("n", "1", "doubles", "sum-container", num_replicas=2)
    assert manager.get_num_replicas("m", "1") == 1
    manager.set_num_replicas("m", "1", "doubles", "clipper/noop-container:0.5", 4)
    assert manager.get_num_replicas("m", "1") == 4
    manager.set_num_replicas("m", "1", "doubles", "clipper/noop-container:0.5", 2)
    assert manager.get_num_replicas("m", "1") == 2
    assert manager.container_failure("m", "1") is None

    manager.stop_models({"m": ["1", "7"], "unknown": ["1"]})
    assert manager.get_num_replicas("m", "1") == 0
    assert manager.get_num_replicas("n", "1") == 2
    manager.stop_all_model_containers()
    assert not [role for role in manager.child_pids() if role.startswith("model:")]


def test_a_container_that_cannot_start_explains_itself(home: Home, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "broken").touch()
    manager = home.manager()
    image = manager.build_model("m", "1", str(data), "noop-container")
    manager.start_clipper(OPTIONS)
    manager.deploy_model("m", "1", "doubles", image)
    text = until(lambda: manager.container_failure("m", "1"))
    assert "exited with status 1" in text
    assert "no module named lightgbm" in text


def test_a_rebuilt_version_leaves_no_old_build_and_tells_its_log(
    home: Home, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    manager = home.manager()
    manager.start_clipper(OPTIONS)
    builds = home.directory / "bundles" / "m" / "1"
    for content in ("one", "two"):
        (data / "model").write_text(content)
        image = manager.build_model("m", "1", str(data), "noop-container")
        manager.deploy_model("m", "1", "doubles", image)
    assert {path.resolve() for path in builds.iterdir()} == {(builds / "current").resolve()}
    assert (builds / "current" / "model").read_text() == "two"
    until(lambda: "CLIPPER_MODEL_NAME" in manager.last_log_lines("m", "1"))
    assert manager.last_log_lines("m", "2") == "None of its containers runs."


def test_models_run_again_after_a_stop_and_after_a_violent_end(home: Home, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    manager = home.manager()
    image = manager.build_model("m", "1", str(data), "noop-container")
    manager.start_clipper(OPTIONS)
    manager.deploy_model("m", "1", "strings", image, num_replicas=2)
    manager.stop_all()

    manager.start_clipper(OPTIONS)
    until(lambda: manager.get_num_replicas("m", "1") == 2)
    pids = manager.child_pids()
    os.kill(pids.pop("supervisor")[0], signal.SIGKILL)
    until(lambda: all(is_free("127.0.0.1", port) for port in home.ports), limit_s=5)

    manager.start_clipper(OPTIONS)
    until(lambda: manager.get_num_replicas("m", "1") == 2)


def test_a_replica_gets_the_environment_of_the_interface(home: Home) -> None:
    manager = home.manager(token="secret")
    manager.start_clipper(OPTIONS)
    manager.deploy_model("m", "1", "strings", "noop-container")
    log = home.directory / "logs" / "model-m_1-0.log"
    text = until(lambda: log.exists() and log.read_text())
    for pair in (
        "'CLIPPER_MODEL_NAME': 'm'",
        "'CLIPPER_MODEL_VERSION': '1'",
        "'CLIPPER_IP': '127.0.0.1'",
        f"'CLIPPER_PORT': '{home.ports[2]}'",
        "'CLIPPER_INPUT_TYPE': 'strings'",
        "'CLIPPER_TOKEN': 'secret'",
    ):
        assert pair in text


def test_logs_are_copied(home: Home, tmp_path: Path) -> None:
    manager = home.manager()
    manager.start_clipper(OPTIONS)
    paths = manager.get_logs(str(tmp_path / "copied" / "logs"))
    names = {Path(path).name for path in paths}
    assert {"supervisor.log", "query-frontend-0.log", "management-frontend-0.log"} <= names
    assert all(os.path.isabs(path) and os.path.exists(path) for path in paths)


def test_what_needs_a_cluster_says_so_without_one(home: Home) -> None:
    manager = home.manager()
    manager.stop_all()
    with pytest.raises(ClipperException, match="is not running"):
        manager.get_num_replicas("m", "1")
    with pytest.raises(ClipperException, match="is not running"):
        manager.deploy_model("m", "1", "doubles", "noop-container")
    assert not home.directory.exists()
    with pytest.raises(ClipperException, match="workers"):
        manager.start_clipper(dataclasses.replace(OPTIONS, num_frontend_replicas=2))


def test_a_state_directory_belongs_to_one_cluster(home: Home) -> None:
    home.manager().start_clipper(OPTIONS)
    with pytest.raises(ClipperException, match="belongs to cluster test, not other"):
        home.manager(cluster_name="other").connect()
    with pytest.raises(ClipperException, match="belongs to cluster test, not other"):
        home.manager(cluster_name="other").stop_all()
    assert home.manager().status()["state"] == "running"


def test_deleting_the_state_leaves_what_is_not_ours(home: Home) -> None:
    manager = home.manager()
    manager.start_clipper(OPTIONS)
    manager.stop_all()
    (home.directory / "thesis.tex").touch()
    manager.delete_state()
    assert [path.name for path in home.directory.iterdir()] == ["thesis.tex"]
    (home.directory / "thesis.tex").unlink()
    manager.delete_state()


def test_the_cluster_outlives_the_process_that_started_it(home: Home) -> None:
    # The command line knows nothing of the stand-ins, so the child asks for a plan of its own.
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_local_manager as t
from clipper.managers import local
local.core_services = t.stand_in_core
query, management, rpc = {home.ports!r}
local.LocalContainerManager("test", {str(home.directory)!r}, "127.0.0.1",
    query, management, rpc).start_clipper(t.OPTIONS)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    manager = home.manager()
    manager.connect()
    assert manager.status()["state"] == "running"
    with contextlib.closing(socket.create_connection(("127.0.0.1", home.ports[0]), timeout=5)):
        pass
