"""The interface of everything that runs Clipper's processes (spec §10.4).

A manager starts, finds and stops processes. It knows nothing of applications, links or versions
that are current: those are `ClipperConnection`'s, over HTTP.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypedDict

from clipper.errors import ClipperException
from clipper.managers.findings import Finding

QUERY_PORT = 1337
MANAGEMENT_PORT = 1338
RPC_PORT = 7000
METRIC_PORT = 1390
REDIS_PORT = 6379


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What `start_clipper` may ask of the frontends; units in the names, defaults of spec §1.4."""

    query_frontend_image: str
    mgmt_frontend_image: str
    frontend_exporter_image: str
    cache_size_bytes: int = 33_554_432
    qf_http_thread_pool_size: int = 1
    """Worker processes of the query frontend."""
    qf_http_timeout_request_s: int = 5
    qf_http_timeout_content_s: int = 300
    num_frontend_replicas: int = 1


STORE_MISSING = "The configuration store"
"""How a frontend begins to say that it does not reach the store."""


class ProcessRow(TypedDict):
    """One process or container of a cluster, as `ContainerManager.status` reports it."""

    role: str
    """Such as ``query-frontend`` or ``model:<name>:<version>``."""
    index: int
    pid: int | None
    """None while it does not run."""
    state: str
    restarts: int
    early_deaths: int
    """Deaths in a row soon after a start."""
    last_exit: int | None
    """Exit status; negative is the signal that ended it; None: never ended."""
    uptime_s: float | None
    log: str


class SupervisorRow(TypedDict):
    """The process that restarts the others."""

    pid: int
    uptime_s: float


class ClusterStatus(TypedDict):
    """What runs of a cluster, whether or not its frontends answer."""

    cluster: str
    state: str
    """``running`` or ``stopped``."""
    state_dir: str
    """Where the manager keeps its own files."""
    supervisor: SupervisorRow | None
    services: Mapping[str, int]
    """Role → processes that should run."""
    children: list[ProcessRow]


class ContainerManager(abc.ABC):
    """Starts and stops the processes of one cluster. Implementations are not thread safe."""

    cluster_name: str
    cluster_identifier: str
    """Prefix of image names and log lines."""

    @abc.abstractmethod
    def start_clipper(self, options: ClusterOptions) -> bool:
        """Start store and frontends and end connected.

        Returns:
            Whether this call started the cluster; False: it ran already, and was brought to these
            options. A manager that cannot do that refuses.

        Raises:
            ClipperException: the cluster runs already, a port is taken, a process died.
        """

    @abc.abstractmethod
    def connect(self) -> None:
        """Attach to a running cluster, perhaps started by another process.

        Raises:
            ClipperException: there is no such cluster; the text says how to start one.
        """

    @abc.abstractmethod
    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Make a deployable image of a saved model and return its name. Needs no running cluster.

        Raises:
            ClipperException: unknown base image, missing path, failed installation (with the
                failing lines).
        """

    @abc.abstractmethod
    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        """Run ``num_replicas`` containers of the image; returns when their processes are started.

        Raises:
            ClipperException: unknown image, or a container that cannot be started.
        """

    @abc.abstractmethod
    def get_num_replicas(self, name: str, version: str) -> int:
        """Return the number of running containers, connected or not."""

    @abc.abstractmethod
    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """Start or gracefully stop containers until there are ``num_replicas``."""

    def set_autoscaling(self, name: str, version: str, bounds: tuple[int, int] | None) -> None:
        """Let the number of a version's replicas follow its load between bounds, or no longer.

        Args:
            bounds: fewest and most replicas; None: their number is fixed again.

        Raises:
            ClipperException: it is turned off, this kind of cluster cannot do it, or nothing of
                the version was ever started.
        """
        raise ClipperException(
            "Only clusters on Kubernetes scale models by themselves; use set_num_replicas or "
            "`clipper scale`"
        )

    @abc.abstractmethod
    def container_failure(self, name: str, version: str) -> str | None:
        """Return why the version's containers do not stay up, with their last log lines.

        None while nothing is wrong. Deploy calls ask while they wait for a container to connect.
        """

    @abc.abstractmethod
    def last_log_lines(self, name: str, version: str) -> str:
        """Return where the log of the version's newest container is, and how it ends."""

    @abc.abstractmethod
    def claim(self, name: str, version: str) -> contextlib.AbstractContextManager[None]:
        """Reserve a version for one client that deploys or scales it, until the context ends.

        Raises:
            ClipperException: on entering, when another client does either with that version now.
        """

    @abc.abstractmethod
    def status(self) -> ClusterStatus:
        """Return what runs; works without being connected and when no frontend answers."""

    def missing_images(self) -> list[str]:
        """Return the images that a start would need and that are not here; none without images."""
        return []

    def diagnose(self) -> list[Finding]:
        """Look at what keeps the processes running, and at them; nothing where that is not known.

        Works without being connected and when no frontend answers.

        Raises:
            ClipperException: nothing can be looked at; the text says why.
        """
        return []

    @abc.abstractmethod
    def delete_state(self) -> None:
        """Forget a stopped cluster: data, logs, images. Idempotent.

        Raises:
            ClipperException: the cluster runs.
        """

    @abc.abstractmethod
    def get_logs(self, logging_dir: str) -> list[str]:
        """Copy every log into the directory (made if absent); return the files' absolute paths."""

    @abc.abstractmethod
    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stop all containers of the given versions (model name → versions), draining them."""

    @abc.abstractmethod
    def stop_all_model_containers(self) -> None:
        """Stop every model container of the cluster."""

    @abc.abstractmethod
    def stop_all(self, graceful: bool = True) -> None:
        """Stop everything of the cluster; works without being connected. Idempotent."""

    @abc.abstractmethod
    def get_admin_addr(self) -> str:
        """Return ``host:port`` of the management frontend."""

    @abc.abstractmethod
    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query frontend."""

    @abc.abstractmethod
    def get_metric_addr(self) -> str:
        """Return ``host:port`` where metrics are read: Prometheus, or the frontend itself."""
