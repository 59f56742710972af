"""Settings of the query frontend, one frozen group for each component. Seconds, bytes, counts."""

from __future__ import annotations

import dataclasses
import enum


class HttpProtocol(enum.StrEnum):
    """What reads HTTP on the query frontend's port."""

    CLIPPER = "clipper"
    """A class for predict requests, with uvicorn's behind it for all others."""
    UVICORN = "uvicorn"
    """uvicorn's alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class HttpSettings:
    """The REST endpoint."""

    host: str = "127.0.0.1"
    port: int = 1337
    timeout_request_s: int = 5
    """How long an idle connection is kept."""
    timeout_content_s: int = 300
    """How long a client may take to send a body."""
    max_body_bytes: int = 32 << 20
    """Larger bodies are answered 413."""
    max_batch_inputs: int = 10_000
    """More inputs in one request are answered 400."""
    protocol: HttpProtocol = HttpProtocol.CLIPPER


@dataclasses.dataclass(frozen=True, slots=True)
class QuerySettings:
    """Query processing."""

    cache_size_bytes: int = 33_554_432
    """Prediction cache of each worker, keys counted; 0 keeps nothing."""
    max_queue_length: int = 100_000
    """Queries beyond this in one model's queue are shed."""
    max_batch_bytes: int = 16 << 20
    """Inputs of one batch together."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerSettings:
    """One worker of a query frontend."""

    worker_id: str = "qf-0"
    """Unique in the cluster; the same again after a restart."""
    advertise_host: str = "127.0.0.1"
    """Host under which model containers reach this worker."""
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 7000
    token: str = ""
    """Shared secret that containers must show; empty: none."""
    lease_ttl_s: float = 2.0
    lease_renewal_s: float = 0.5
    drain_s: float = 10.0
    """How long a graceful stop waits for what is in flight."""


@dataclasses.dataclass(frozen=True, slots=True)
class QueryFrontendSettings:
    """Everything one worker process is told."""

    redis_url: str = "redis://localhost:6379/0"
    cluster_name: str = "default-cluster"
    http: HttpSettings = HttpSettings()
    query: QuerySettings = QuerySettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def max_message_bytes(self) -> int:
        """Largest gRPC message: an input can be four times its JSON (``1,`` as a double)."""
        return max(4 * self.http.max_body_bytes, 2 * self.query.max_batch_bytes) + (1 << 20)
