"""What the supervisor is told to run, and the commands of which a local cluster consists.

The supervisor knows `ServiceSpec` only, nothing of Clipper; tests give it other commands.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from typing import Any

from clipper.managers.base import ClusterOptions
from clipper.managers.labels import create_model_container_label
from clipper.managers.local_state import StateDir
from clipper.managers.ports import PortClaim, reachable_host
from clipper.managers.threads import thread_settings

STORE = "store"
MANAGEMENT = "management-frontend"
QUERY = "query-frontend"

_RANKS = {STORE: 0, MANAGEMENT: 1, QUERY: 2}
_MODEL_RANK = 3


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One command and how many processes of it to keep running."""

    role: str
    """Unique; names the service in status."""
    log_name: str
    """Log files are ``<log_name>-<index>.log``."""
    rank: int
    """Services start in ascending and stop in descending order."""
    argv: tuple[str, ...]
    env: Mapping[str, str | None]
    """Changes to the supervisor's environment; None removes a variable."""
    replicas: int = 1
    ready_socket: str | None = None
    """Unix socket that must accept before a higher rank starts."""
    declared: Mapping[str, Any] | None = None
    """Kept in the cluster's record for its next start, with the number of replicas."""

    def identity(self) -> str:
        """Return what tells two versions of a command apart; equal means interchangeable."""
        text = json.dumps([self.argv, dict(self.env)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the value that `from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ServiceSpec:
        """Return the specification that `to_json` gave."""
        return cls(**{**value, "argv": tuple(value["argv"])})


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterRecord:
    """Where a cluster listens and how its processes were started; saved as ``cluster``."""

    cluster_name: str
    host: str
    query_port: int
    management_port: int
    rpc_port: int
    redis_url: str | None
    """None: the embedded store."""
    token: str | None
    options: Mapping[str, Any]
    """Fields of `ClusterOptions`."""
    isolated_environments: bool = False
    """Whether models with requirements get environments of their own."""

    def to_json(self) -> dict[str, Any]:
        """Return the value that `from_json` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClusterRecord:
        """Return the record that `to_json` gave."""
        return cls(**value)

    def port_claims(self) -> list[PortClaim]:
        """Return every port that the frontends will listen on; one RPC port for each worker."""
        workers = ClusterOptions(**self.options).qf_http_thread_pool_size
        claims = [
            PortClaim(self.query_port, QUERY, "clipper_query_port", "--query-port"),
            PortClaim(self.management_port, MANAGEMENT, "clipper_management_port", "--mgmt-port"),
        ]
        rpc = (f"{QUERY} (model RPC)", "clipper_rpc_port", "--rpc-port")
        ports = range(self.rpc_port, self.rpc_port + workers)
        return claims + [PortClaim(port, *rpc) for port in ports]


@dataclasses.dataclass(frozen=True, slots=True)
class DeclaredModel:
    """A model version that should run, with everything a later start needs."""

    name: str
    version: str
    image: str
    input_type: str
    framework: str
    python: str
    """Interpreter of its environment."""
    isolated: bool
    """Whether the environment sees only itself."""
    model_path: str


def model_role(name: str, version: str) -> str:
    """Return the role of a model version's replicas."""
    return f"model:{name}:{version}"


def core_services(cluster: ClusterRecord, state: StateDir) -> list[ServiceSpec]:
    """Return store (unless Redis is given), management frontend and query frontend."""
    services = []
    redis_url = cluster.redis_url
    if redis_url is None:
        socket = str(state.store_socket)
        redis_url = f"unix://{socket}"
        arguments = ["--data-dir", str(state.store), "--socket", socket]
        services.append(_daemon(STORE, arguments, cluster, ready_socket=socket))
    common = ["--redis-url", redis_url, "--cluster-name", cluster.cluster_name]
    common += ["--host", cluster.host]
    management = [*common, "--port", str(cluster.management_port)]
    services.append(_daemon(MANAGEMENT, management, cluster))
    services.append(_daemon(QUERY, [*common, *_query_arguments(cluster)], cluster))
    return services


def model_service(
    cluster: ClusterRecord, model: DeclaredModel, replicas: int, environ: Mapping[str, str]
) -> ServiceSpec:
    """Return the service of a model version; ``environ`` is the deploying user's."""
    env: dict[str, str | None] = {
        "CLIPPER_MODEL_NAME": model.name,
        "CLIPPER_MODEL_VERSION": model.version,
        "CLIPPER_IP": reachable_host(cluster.host),
        "CLIPPER_PORT": str(cluster.rpc_port),
        "CLIPPER_INPUT_TYPE": model.input_type,
        "CLIPPER_MODEL_PATH": model.model_path,
        "CLIPPER_METRICS_PORT": "0",
        "CLIPPER_METRICS_HOST": "127.0.0.1",
        "CLIPPER_TOKEN": cluster.token,
    }
    env |= thread_settings(environ)
    if model.isolated:
        env |= {"PYTHONPATH": None, "PYTHONHOME": None, "PYTHONNOUSERSITE": "1"}
    return ServiceSpec(
        role=model_role(model.name, model.version),
        log_name=f"model-{create_model_container_label(model.name, model.version)}",
        rank=_MODEL_RANK,
        argv=(model.python, "-m", "clipper.container", "--framework", model.framework),
        env=env,
        replicas=replicas,
        declared=dataclasses.asdict(model),
    )


def _daemon(
    role: str, arguments: list[str], cluster: ClusterRecord, ready_socket: str | None = None
) -> ServiceSpec:
    return ServiceSpec(
        role=role,
        log_name=role,
        rank=_RANKS[role],
        argv=(sys.executable, "-m", "clipper.daemon", role, *arguments),
        env={"CLIPPER_TOKEN": cluster.token},
        ready_socket=ready_socket,
    )


def _query_arguments(cluster: ClusterRecord) -> list[str]:
    options = ClusterOptions(**cluster.options)
    values: dict[str, object] = {
        "--port": cluster.query_port,
        "--rpc-port": cluster.rpc_port,
        "--advertise-host": reachable_host(cluster.host),
        "--prediction-cache-size": options.cache_size_bytes,
        "--workers": options.qf_http_thread_pool_size,
        "--timeout-request": options.qf_http_timeout_request_s,
        "--timeout-content": options.qf_http_timeout_content_s,
    }
    return [text for flag, value in values.items() for text in (flag, str(value))]
