"""A cluster that exists in memory: its manager, its management API and its passing of time.

`FakeCluster` is the truth. `FakeManager` starts its containers, `FakeHttp` asks its frontends,
`FakeTime` lets its containers connect as the client sleeps. `serve` puts the same answers behind
a real HTTP server.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import http.server
import json
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import requests

from clipper.admin.http import Reply
from clipper.errors import ClipperException
from clipper.managers.base import ClusterOptions, ClusterStatus, ContainerManager

Json = dict[str, Any]


class RefusedError(Exception):
    """The management frontend answers 400 with this text."""


@dataclasses.dataclass
class FakeContainer:
    """A container that connects some time after its start."""

    name: str
    version: str
    number: int
    started_s: float


class FakeCluster:
    """Applications, models, containers and workers; every call and event in order in `events`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.connect_after_s = 0.5
        self.ready_after_s = 0.5
        """After connecting, for registered versions."""
        self.worker_ids = ["w1", "w2"]
        self.slow_workers: set[str] = set()
        """Workers on which nothing ever becomes ready."""
        self.running = True
        self.failure: str | None = None
        self.log = "loading"
        """Last line of every container's log."""
        self.claims: set[tuple[str, str]] = set()
        """Versions that some client deploys now."""
        self.probe_fails = False
        self.refusals: dict[str, str] = {}
        """Operation → text of the 400 that it answers."""
        self.apps: dict[str, Json] = {}
        self.models: dict[tuple[str, str], Json] = {}
        self.current: dict[str, str] = {}
        self.containers: list[FakeContainer] = []
        self.events: list[str] = []
        self.predictions: list[tuple[str, Json]] = []
        self.policies: list[Json] = []
        """What `get_policies` answers."""
        self.policy: Json = {}
        """What `get_policy` answers of every application."""
        self.feedback: list[bytes] = []
        """The log of feedback of every application."""
        self.prediction = Reply(200, '{"query_id": 1, "output": 6.6, "default": false}')
        self._numbers = 0

    def start(self, name: str, version: str, count: int) -> None:
        for _ in range(count):
            self._numbers += 1
            self.containers.append(FakeContainer(name, version, self._numbers, self.now_s))

    def running_of(self, name: str, version: str) -> list[FakeContainer]:
        return [c for c in self.containers if (c.name, c.version) == (name, version)]

    def state_on(self, container: FakeContainer, worker_id: str) -> str | None:
        age_s = self.now_s - container.started_s
        if age_s < self.connect_after_s:
            return None
        registered = (container.name, container.version) in self.models
        late = age_s < self.connect_after_s + self.ready_after_s
        if not registered or late or worker_id in self.slow_workers:
            return "connected"
        return "probe-failed" if self.probe_fails else "ready"

    def container_objects(self) -> list[Json]:
        objects = []
        for one in self.containers:
            states = {w: self.state_on(one, w) for w in self.worker_ids}
            states = {w: state for w, state in states.items() if state is not None}
            if states:
                objects.append(
                    {
                        "model_id": f"{one.name}:{one.version}",
                        "model_name": one.name,
                        "model_version": one.version,
                        "model_replica_id": one.number,
                        "input_type": "doubles",
                        "instance_id": f"i{one.number}",
                        "state": "ready" if "ready" in states.values() else "connected",
                        "workers": list(states),
                        "worker_states": states,
                    }
                )
        return objects

    def manage(self, operation: str, body: Json) -> object:
        """Carry out a management operation; RefusedError when the frontend would answer 400."""
        self.events.append(operation)
        if operation in self.refusals:
            raise RefusedError(self.refusals[operation])
        handler: Callable[[Json], object] = getattr(self, f"_{operation}")
        return handler(body)

    def _add_app(self, body: Json) -> str:
        if body["name"] in self.apps:
            raise RefusedError(f"application '{body['name']}' already exists")
        self.apps[body["name"]] = {**body, "linked_models": []}
        return f"Successfully added application with name '{body['name']}'"

    def _update_app(self, body: Json) -> str:
        if body["name"] not in self.apps:
            raise RefusedError(f"Application '{body['name']}' does not exist")
        self.apps[body["name"]] |= body
        return "Successfully updated"

    def _delete_app(self, body: Json) -> str:
        if self.apps.pop(body["name"], None) is None:
            raise RefusedError(f"Application '{body['name']}' does not exist")
        return "Successfully deleted"

    def _add_model_links(self, body: Json) -> str:
        name = body["model_names"][0]
        if name not in self.current:
            raise RefusedError(f"No model with name '{name}' exists.")
        self.apps[body["app_name"]]["linked_models"].append(name)
        return "Successfully linked"

    def _delete_model_links(self, body: Json) -> str:
        self.apps[body["app_name"]]["linked_models"].remove(body["model_names"][0])
        return "Success!"

    def _add_model(self, body: Json) -> str:
        key = body["model_name"], body["model_version"]
        if key in self.models:
            raise RefusedError(f"model with name '{key[0]}' and version '{key[1]}' already exists")
        self._numbers += 1
        self.models[key] = {**body, "generation": self._numbers}
        self.current[key[0]] = key[1]
        return "Successfully added model"

    def _set_model_version(self, body: Json) -> str:
        key = body["model_name"], body["model_version"]
        if key not in self.models:
            raise RefusedError(f"Cannot set non-existent version '{key[1]}' for model")
        self.current[key[0]] = key[1]
        return "Successfully set"

    def _delete_versioned_model(self, body: Json) -> str:
        key = body["model_name"], body["model_version"]
        if self.models.pop(key, None) is None:
            raise RefusedError(f"model with name '{key[0]}' and version '{key[1]}' does not exist")
        if self.current.get(key[0]) == key[1]:
            del self.current[key[0]]
        return "Successfully deleted"

    def _get_all_applications(self, body: Json) -> object:
        return list(self.apps.values()) if body["verbose"] else list(self.apps)

    def _get_application(self, body: Json) -> object:
        return self.apps.get(body["name"], {})

    def _get_linked_models(self, body: Json) -> object:
        return self.apps[body["app_name"]]["linked_models"]

    def _get_policies(self, body: Json) -> object:
        return self.policies

    def _get_policy(self, body: Json) -> object:
        return self.policy

    def _get_feedback_log(self, body: Json) -> object:
        return [base64.b64encode(one).decode() for one in self.feedback[-body["count"] :]]

    def _get_all_models(self, body: Json) -> object:
        if not body["verbose"]:
            return [f"{name}:{version}" for name, version in self.models]
        return [self._shown(key) for key in self.models]

    def _get_model(self, body: Json) -> object:
        key = body["model_name"], body["model_version"]
        return self._shown(key) if key in self.models else {}

    def _shown(self, key: tuple[str, str]) -> Json:
        return {**self.models[key], "is_current_version": self.current.get(key[0]) == key[1]}

    def _get_all_containers(self, body: Json) -> object:
        objects = self.container_objects()
        if body["verbose"]:
            return objects
        return [f"{one['model_id']}:{one['model_replica_id']}" for one in objects]

    def _get_container(self, body: Json) -> object:
        for one in self.container_objects():
            if one["model_replica_id"] == body["replica_id"]:
                return one
        return {}

    def _get_workers(self, body: Json) -> object:
        return [
            {
                "worker_id": one,
                "rpc_address": "127.0.0.1:7000",
                "applied_revision": 3,
                "replicas": len(self.container_objects()),
            }
            for one in self.worker_ids
        ]


class FakeTime:
    """A clock that moves only when someone sleeps."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster

    def clock(self) -> float:
        return self._cluster.now_s

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self._cluster.now_s += seconds


class FakeHttp:
    """The frontends of a `FakeCluster` without a network."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self.unreachable_times = 0
        """How many requests fail before the frontends answer."""

    def post(self, url: str, body: object, timeout_s: float = 30.0) -> Reply:
        self._connect(url)
        assert isinstance(body, dict)
        path = url.removeprefix("http://").partition("/")[2]
        return answer(self._cluster, "POST", f"/{path}", body)

    def get(self, url: str, accept: str = "*/*", timeout_s: float = 30.0) -> Reply:
        self._connect(url)
        path = url.removeprefix("http://").partition("/")[2]
        return answer(self._cluster, "GET", f"/{path}", {"accept": accept})

    def _connect(self, url: str) -> None:
        if self.unreachable_times:
            self.unreachable_times -= 1
            raise requests.ConnectionError(f"refused: {url}", request=requests.Request("GET", url))


def answer(cluster: FakeCluster, method: str, path: str, body: Json) -> Reply:
    """What the frontends of the cluster reply, both of them at one address."""
    if method == "GET":
        if path == "/admin/ping":
            return Reply(200, "PONG")
        if path == "/metrics" and body["accept"] == "application/json":
            return Reply(200, '{"counters": []}')
        return Reply(200, "ok")
    if not path.startswith("/admin/"):
        cluster.predictions.append((path, body))
        return cluster.prediction
    try:
        result = cluster.manage(path.removeprefix("/admin/"), body)
    except RefusedError as refused:
        return Reply(400, str(refused))
    return Reply(200, result if isinstance(result, str) else json.dumps(result))


class FakeManager(ContainerManager):
    """Starts containers in a `FakeCluster`."""

    def __init__(self, cluster: FakeCluster, address: str = "frontend:1") -> None:
        self.cluster_name = "fake"
        self.cluster_identifier = "fake"
        self.cluster = cluster
        self.address = address
        self.options: ClusterOptions | None = None
        self.start_error: Exception | None = None
        self.built: list[Json] = []
        self.bundle: dict[str, bytes] = {}
        """Files of the model directory that was built last."""

    def start_clipper(self, options: ClusterOptions) -> bool:
        self.options = options
        if self.start_error is not None:
            raise self.start_error
        anew = not self.cluster.running
        self.cluster.running = True
        return anew

    def connect(self) -> None:
        if not self.cluster.running:
            raise ClipperException("Cluster fake is not running. Start it with `clipper up`")

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        self.cluster.events.append("build")
        self.built.append({"base_image": base_image, "pkgs_to_install": pkgs_to_install})
        directory = pathlib.Path(model_data_path)
        self.bundle = {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file()
        }
        return f"fake-{name}:{version}"

    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        self.cluster.events.append(f"start {name}:{version} x{num_replicas}")
        if self.start_error is not None:
            raise self.start_error
        self.cluster.start(name, version, num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        return len(self.cluster.running_of(name, version))

    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        self.cluster.events.append(f"scale {name}:{version} to {num_replicas}")
        present = self.cluster.running_of(name, version)
        for surplus in present[num_replicas:]:
            self.cluster.containers.remove(surplus)
        self.cluster.start(name, version, max(num_replicas - len(present), 0))

    def container_failure(self, name: str, version: str) -> str | None:
        return self.cluster.failure

    def last_log_lines(self, name: str, version: str) -> str:
        return f"Last lines of {name}_{version}.log:\n{self.cluster.log}"

    @contextlib.contextmanager
    def claim(self, name: str, version: str) -> Iterator[None]:
        if (name, version) in self.cluster.claims:
            raise ClipperException(f"Another client is deploying {name}:{version}")
        self.cluster.claims.add((name, version))
        try:
            yield
        finally:
            self.cluster.claims.discard((name, version))

    def get_logs(self, logging_dir: str) -> list[str]:
        paths = []
        for name in ("query-frontend-0", "store-0", "model-m_1-0", "model-m_2-0"):
            path = pathlib.Path(logging_dir) / f"{name}.log"
            path.write_text(f"{name} first\n{name} last\n")
            paths.append(str(path))
        return paths

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        self.cluster.events.append(f"stop {dict(models)}")
        chosen = {(name, version) for name, versions in models.items() for version in versions}
        self.cluster.containers = [
            one for one in self.cluster.containers if (one.name, one.version) not in chosen
        ]

    def stop_all_model_containers(self) -> None:
        self.cluster.containers = []

    def stop_all(self, graceful: bool = True) -> None:
        self.cluster.events.append(f"stop all graceful={graceful}")
        self.cluster.running = False

    def delete_state(self) -> None:
        self.cluster.events.append("delete state")

    def status(self) -> ClusterStatus:
        return {
            "cluster": "fake",
            "state": "running" if self.cluster.running else "stopped",
            "state_dir": "/",
            "supervisor": None,
            "services": {},
            "children": [],
        }

    def get_admin_addr(self) -> str:
        return self.address

    def get_query_addr(self) -> str:
        return self.address

    def get_metric_addr(self) -> str:
        return self.address


@contextlib.contextmanager
def serve(cluster: FakeCluster) -> Iterator[str]:
    """Serve the cluster's answers on a real socket; yields ``host:port``."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._send(answer(cluster, "POST", self.path, json.loads(self.rfile.read(length))))

        def do_GET(self) -> None:
            accept = {"accept": self.headers["Accept"]}
            self._send(answer(cluster, "GET", self.path, accept))

        def _send(self, reply: Reply) -> None:
            payload = reply.text.encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            if reply.default_reason is not None:
                self.send_header("X-Clipper-Default", reply.default_reason)
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the tests' output clean."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
