"""A cluster of supervised processes on this host, without Docker (design §2 and §3).

The manager is a thin client: a supervisor process in the background owns everything that runs, so
a cluster outlives the script that started it and is found again through its state directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from clipper.errors import ClipperException
from clipper.managers import local_cluster
from clipper.managers.base import (
    MANAGEMENT_PORT,
    QUERY_PORT,
    RPC_PORT,
    ClusterOptions,
    ClusterStatus,
    ContainerManager,
)
from clipper.managers.labels import check_cluster_name
from clipper.managers.local_environments import (
    build_environment,
    check_requirements,
    listed_constraints,
    listed_requirements,
)
from clipper.managers.local_images import (
    Bundle,
    build_bundle,
    claim_version,
    framework_of,
    remove_old_builds,
    resolve_image,
)
from clipper.managers.local_notices import death_notice, log_notice
from clipper.managers.local_plan import (
    ClusterRecord,
    DeclaredModel,
    ServiceSpec,
    core_services,
    model_role,
    model_service,
)
from clipper.managers.local_policy import ReplicaView, failing
from clipper.managers.local_protocol import SupervisorAbsent, request
from clipper.managers.local_readiness import wait_until_ready
from clipper.managers.local_state import StateDir, read_json
from clipper.managers.ports import join_address, reachable_host, require_free

_START_LIMIT_S = 60.0
_STATUS_LIMIT_S = 5.0
_DYING_PORT_S = 2.0
_MODEL_PREFIX = "model:"

_log = logging.getLogger(__name__)


class LocalContainerManager(ContainerManager):
    """Runs the cluster as child processes of a background supervisor. Constructing starts nothing.

    ``stop_all`` keeps the store's data and the declared models: the next ``start_clipper`` on the
    same state directory brings everything back. `delete_state` forgets it.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        state_dir: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        clipper_query_port: int = QUERY_PORT,
        clipper_management_port: int = MANAGEMENT_PORT,
        clipper_rpc_port: int = RPC_PORT,
        redis_url: str | None = None,
        isolated_environments: bool = False,
        token: str | None = None,
    ) -> None:
        """Describe a cluster; `connect` replaces all but name and state by what runs.

        Args:
            cluster_name: name of the cluster and prefix of its image names.
            state_dir: where configuration, data and logs are kept. Default: the directory
                ``$CLIPPER_STATE_DIR``, or ``~/.clipper/<cluster_name>``.
            host: address that the frontends bind.
            clipper_query_port: HTTP port of the query frontend.
            clipper_management_port: HTTP port of the management frontend.
            clipper_rpc_port: first of the ports, one for each worker, that models dial.
            redis_url: an existing Redis; None starts an embedded store.
            isolated_environments: whether models with requirements get a Python environment of
                their own; otherwise they run in this one, which must have what they require.
            token: secret that models must present; None: none.
        """
        check_cluster_name(cluster_name)  # the name becomes part of paths
        self.cluster_name = cluster_name
        self.cluster_identifier = cluster_name
        default = os.environ.get("CLIPPER_STATE_DIR") or Path("~/.clipper") / cluster_name
        self._state = StateDir(state_dir or default)
        self._cluster = ClusterRecord(
            cluster_name=cluster_name,
            host=host,
            query_port=clipper_query_port,
            management_port=clipper_management_port,
            rpc_port=clipper_rpc_port,
            redis_url=redis_url,
            token=token,
            options={},
            isolated_environments=isolated_environments,
        )

    def start_clipper(self, options: ClusterOptions) -> bool:
        """Start everything, the models declared before too, and wait for both frontends.

        Raises:
            ClipperException: the cluster runs already, or a port is taken; nothing was changed.
            ContainerStartError: a process did not come up; nothing is left running.
        """
        if options.num_frontend_replicas != 1:
            raise ClipperException(
                "Local mode runs one query frontend: use more workers "
                "(qf_http_thread_pool_size) instead of num_frontend_replicas."
            )
        cluster = dataclasses.replace(self._cluster, options=dataclasses.asdict(options))
        try:
            local_cluster.prepare(self._state)
            # If it ran before, its processes may have been killed just now and still be dying.
            patience_s = _DYING_PORT_S if self._state.cluster_file.exists() else 0.0
            require_free(cluster.host, cluster.port_claims(), patience_s)
            services = core_services(cluster, self._state) + self._declared_services(cluster)
            plan = {"cluster": cluster.to_json(), "services": [s.to_json() for s in services]}
            local_cluster.launch(self._state, plan)
        except local_cluster.AlreadyRunning as error:
            raise ClipperException(
                f"Cluster {self.cluster_name} cannot be started because it already exists. "
                "Please use ClipperConnection.connect() to connect to it."
            ) from error
        self._cluster = cluster
        try:
            self._wait_until_ready([s.role for s in services if s.declared is None])
        except BaseException:
            local_cluster.end(self._state, graceful=False)
            raise
        return True

    def connect(self) -> None:
        """Attach to the cluster of the state directory and take over its addresses."""
        record = self._saved_record()
        if record is None or not local_cluster.is_running(self._state):
            raise self._absent()
        running = ClusterRecord.from_json(record["cluster"])
        # Whoever asks for isolation gets it, also in a cluster that was started without.
        isolated = running.isolated_environments or self._cluster.isolated_environments
        self._cluster = dataclasses.replace(running, isolated_environments=isolated)

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Copy the model into a bundle of the state directory and return its image name."""
        framework = framework_of(base_image)
        self._state.create()
        image = f"{self.cluster_identifier}-{name}:{version}"
        if container_registry:
            image = f"{container_registry.rstrip('/')}/{image}"
        data = Path(model_data_path).expanduser()
        python, requirements = self._environment(framework, data, pkgs_to_install or ())
        bundle = build_bundle(
            self._state.bundles, name, version, data, framework, image, requirements, python
        )
        return bundle.image

    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        """Declare the version and start its processes; an earlier build of it is replaced."""
        _check_replicas(num_replicas)
        state = self._state
        bundle = resolve_image(state.bundles, state.work, self.cluster_identifier, image)
        model = _declare(name, version, input_type, bundle)
        service = model_service(self._running_cluster(), model, num_replicas, os.environ)
        self._request("apply", local_cluster.CHANGE_LIMIT_S, service=service.to_json())
        remove_old_builds(state.bundles, name, version, self._declared_paths())

    def get_num_replicas(self, name: str, version: str) -> int:
        """Return the number of running processes, connected or not."""
        rows = self._children(model_role(name, version))
        return sum(row["pid"] is not None for row in rows)

    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """Start or drain processes of a running version; deploys one that is not declared."""
        _check_replicas(num_replicas)
        role = model_role(name, version)
        limit_s = local_cluster.CHANGE_LIMIT_S
        reply = self._request("scale", limit_s, role=role, replicas=num_replicas)
        if not reply["known"]:
            self.deploy_model(name, version, input_type, image, num_replicas)

    def container_failure(self, name: str, version: str) -> str | None:
        """Return exit status and last log lines of a version whose processes do not stay up."""
        rows = self._children(model_role(name, version))
        views = [ReplicaView(r["early_deaths"], r["last_exit"], r["uptime_s"]) for r in rows]
        culprit = failing(views)
        if culprit is None:
            return None
        return f"it {death_notice(rows[views.index(culprit)])}"

    def last_log_lines(self, name: str, version: str) -> str:
        """Return where the log of the version's newest process is, and how it ends."""
        rows = [row for row in self._children(model_role(name, version)) if row["pid"] is not None]
        newest = min(rows, key=lambda row: row["uptime_s"] or 0.0, default=None)
        return "None of its containers runs." if newest is None else log_notice(newest["log"])

    def claim(self, name: str, version: str) -> contextlib.AbstractContextManager[None]:
        """Lock the version; the lock ends with this process, however that ends."""
        return claim_version(self._state.bundles, name, version)

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copy every process's log, also of processes that ended; return absolute paths."""
        target = Path(logging_dir).expanduser().absolute()
        target.mkdir(parents=True, exist_ok=True)
        logs = sorted(self._state.logs.glob("*.log*"))
        return [str(shutil.copyfile(log, target / log.name)) for log in logs]

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Drain and forget the versions; unknown ones are ignored."""
        pairs = [
            (name, version)
            for name, versions in models.items()
            for version in ([versions] if isinstance(versions, str) else versions)
        ]
        roles = [model_role(name, str(version)) for name, version in pairs]
        self._request("remove", local_cluster.CHANGE_LIMIT_S, roles=roles)

    def stop_all_model_containers(self) -> None:
        """Drain and forget every model."""
        services = self._request("status", _STATUS_LIMIT_S)["services"]
        roles = [role for role in services if role.startswith(_MODEL_PREFIX)]
        self._request("remove", local_cluster.CHANGE_LIMIT_S, roles=roles)

    def stop_all(self, graceful: bool = True) -> None:
        """Stop everything, supervisor included; data and declared models stay saved."""
        self._saved_record()  # refuses the state directory of another cluster
        local_cluster.end(self._state, graceful)

    def delete_state(self) -> None:
        """Remove all data, logs, bundles and environments of the stopped cluster.

        Raises:
            ClipperException: the cluster runs.
        """
        self._saved_record()
        local_cluster.delete(self._state)

    def get_admin_addr(self) -> str:
        """Return ``host:port`` of the management frontend."""
        return join_address(reachable_host(self._cluster.host), self._cluster.management_port)

    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query frontend."""
        return join_address(reachable_host(self._cluster.host), self._cluster.query_port)

    def get_metric_addr(self) -> str:
        """Return the query frontend's address: local mode starts no Prometheus (decision 18)."""
        return self.get_query_addr()

    def status(self) -> ClusterStatus:
        """Return what runs; a cluster that does not run has state ``stopped`` and no children."""
        status: ClusterStatus = {
            "cluster": self.cluster_name,
            "state": "stopped",
            "state_dir": str(self._state.root),
            "supervisor": None,
            "services": {},
            "children": [],
        }
        try:
            running = request(self._state.supervisor_socket, {"op": "status"}, _STATUS_LIMIT_S)
        except SupervisorAbsent:
            return status
        return cast(ClusterStatus, {**status, "state": "running", **running})

    def child_pids(self) -> dict[str, list[int]]:
        """Return the process numbers by role: supervisor, frontends, store, ``model:<n>:<v>``."""
        status = self.status()
        pids: dict[str, list[int]] = {}
        if status["supervisor"] is not None:
            pids["supervisor"] = [status["supervisor"]["pid"]]
        for row in status["children"]:
            if row["pid"] is not None:
                pids.setdefault(row["role"], []).append(row["pid"])
        return pids

    def _environment(
        self, framework: str, data: Path, packages: Sequence[str]
    ) -> tuple[str | None, list[str]]:
        """Return the interpreter of an isolated environment, if any, and the requirements."""
        requirements = list(dict.fromkeys([*packages, *listed_requirements(data)]))
        constraints = listed_constraints(data)
        python = None
        if not self._cluster.isolated_environments:
            check_requirements(requirements, constraints)
        elif requirements:
            environments = self._state.environments
            python = build_environment(environments, framework, requirements, constraints)
        return python, requirements

    def _declared_services(self, cluster: ClusterRecord) -> list[ServiceSpec]:
        """Return the services of the models that ran when the cluster was last stopped."""
        services = []
        for entry in (self._saved_record() or {"models": []})["models"]:
            model = DeclaredModel(**entry["model"])
            if Path(model.model_path).is_dir() and os.access(model.python, os.X_OK):
                services.append(model_service(cluster, model, entry["num_replicas"], os.environ))
            else:
                _log.warning(
                    "model %s:%s is not started: its image %s is gone; build and deploy it again",
                    model.name, model.version, model.image,
                )  # fmt: skip
        return services

    def _declared_paths(self) -> set[Path]:
        models = (self._saved_record() or {"models": []})["models"]
        return {Path(entry["model"]["model_path"]) for entry in models}

    def _wait_until_ready(self, roles: Sequence[str]) -> None:
        host = reachable_host(self._cluster.host)
        endpoints = [
            (host, self._cluster.query_port, "/readyz"),
            (host, self._cluster.management_port, "/admin/ping"),
        ]

        def status() -> dict[str, Any]:
            return self._request("status", _STATUS_LIMIT_S)

        wait_until_ready(endpoints, status, roles, _START_LIMIT_S)

    def _children(self, role: str) -> list[dict[str, Any]]:
        rows = self._request("status", _STATUS_LIMIT_S)["children"]
        return [row for row in rows if row["role"] == role]

    def _running_cluster(self) -> ClusterRecord:
        record = self._saved_record()
        if record is None:
            raise self._absent()
        return ClusterRecord.from_json(record["cluster"])

    def _saved_record(self) -> dict[str, Any] | None:
        record: dict[str, Any] | None = read_json(self._state.cluster_file)
        if record is not None and record["cluster"]["cluster_name"] != self.cluster_name:
            raise ClipperException(
                f"State directory {self._state.root} belongs to cluster "
                f"{record['cluster']['cluster_name']}, not {self.cluster_name}; choose another."
            )
        return record

    def _request(self, op: str, timeout_s: float, **fields: Any) -> dict[str, Any]:
        try:
            return request(self._state.supervisor_socket, {"op": op, **fields}, timeout_s)
        except SupervisorAbsent as error:
            raise self._absent() from error

    def _absent(self) -> ClipperException:
        return ClipperException(
            f"Cluster {self.cluster_name} is not running (state directory {self._state.root}). "
            "Start it with `clipper up` or ClipperConnection.start_clipper()."
        )


def _declare(name: str, version: str, input_type: str, bundle: Bundle) -> DeclaredModel:
    if not os.access(bundle.python, os.X_OK):
        raise ClipperException(
            f"The environment of image {bundle.image} is gone ({bundle.python}); build it again."
        )
    return DeclaredModel(
        name=name,
        version=version,
        image=bundle.image,
        input_type=input_type,
        framework=bundle.framework,
        python=bundle.python,
        isolated=bundle.isolated,
        model_path=bundle.path,
    )


def _check_replicas(count: int) -> None:
    if count < 0:
        raise ClipperException(f"A model cannot have {count} replicas.")
