"""Client methods about the cluster as a whole (spec §10.2, "Cluster")."""

from __future__ import annotations

import pathlib
from typing import Any

import requests

from clipper.admin.http import Reply
from clipper.admin.readiness import ready_count
from clipper.admin.session import Session
from clipper.datatypes import CONTAINERLESS_MODEL_IMAGE
from clipper.errors import ClipperException
from clipper.managers.base import ClusterOptions
from clipper.managers.stock_images import FRONTEND_IMAGE, MANAGEMENT_IMAGE, stock_image

DEFAULT_PREDICTION_CACHE_SIZE_BYTES = 33_554_432

_START_TRIES = 300
_START_PAUSE_S = 1.0
_PROBE_TIMEOUT_S = 5.0
_RESTORE_TIMEOUT_S = 60.0
_RESTORE_PAUSE_S = 0.1


def cluster_options(
    query_frontend_image: str = stock_image(FRONTEND_IMAGE),
    mgmt_frontend_image: str = stock_image(MANAGEMENT_IMAGE),
    frontend_exporter_image: str = stock_image("frontend-exporter"),
    cache_size: int = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
    qf_http_thread_pool_size: int = 1,
    qf_http_timeout_request: int = 5,
    qf_http_timeout_content: int = 300,
    num_frontend_replicas: int = 1,
) -> ClusterOptions:
    """Return arguments of `ClusterMethods.start_clipper` as a manager takes them."""
    return ClusterOptions(
        query_frontend_image=query_frontend_image,
        mgmt_frontend_image=mgmt_frontend_image,
        frontend_exporter_image=frontend_exporter_image,
        cache_size_bytes=cache_size,
        qf_http_thread_pool_size=qf_http_thread_pool_size,
        qf_http_timeout_request_s=qf_http_timeout_request,
        qf_http_timeout_content_s=qf_http_timeout_content,
        num_frontend_replicas=num_frontend_replicas,
    )


class ClusterMethods(Session):
    """Start, attach to, look at and stop a cluster."""

    def start_clipper(
        self,
        query_frontend_image: str = stock_image(FRONTEND_IMAGE),
        mgmt_frontend_image: str = stock_image(MANAGEMENT_IMAGE),
        frontend_exporter_image: str = stock_image("frontend-exporter"),
        cache_size: int = DEFAULT_PREDICTION_CACHE_SIZE_BYTES,
        qf_http_thread_pool_size: int = 1,
        qf_http_timeout_request: int = 5,
        qf_http_timeout_content: int = 300,
        num_frontend_replicas: int = 1,
    ) -> None:
        """Start a cluster and return when both frontends answer; ends connected.

        Models that ran in it before serve again when this returns, or are warned of.

        Args:
            cache_size: prediction cache in bytes, 0 or more.
            qf_http_thread_pool_size: worker processes of the query frontend.
            qf_http_timeout_request: seconds to receive a request's header.
            qf_http_timeout_content: seconds to receive a body or send a reply.

        Raises:
            ClipperException: the cluster runs already, a port is taken, a process died.
            requests.RequestException: a frontend did not answer in five minutes.
        """
        options = cluster_options(
            query_frontend_image, mgmt_frontend_image, frontend_exporter_image, cache_size,
            qf_http_thread_pool_size, qf_http_timeout_request, qf_http_timeout_content,
            num_frontend_replicas,
        )  # fmt: skip
        try:
            started_anew = self.cm.start_clipper(options)
        except ClipperException as error:
            self.logger.error(error.msg)
            raise
        try:
            self._wait_for_frontends()
            self.connected = True
            self._wait_for_restored_models()
        except BaseException:
            # Ctrl-C included: a cluster that was not reported as started must not run on.
            if started_anew:
                self.stop_all(graceful=False)
            raise
        self.logger.info("Clipper is running")

    def _wait_for_restored_models(self) -> None:
        """Let models of an earlier run serve again; a slow or broken one is only warned of."""
        deadline = self._clock() + _RESTORE_TIMEOUT_S
        while waiting := self._restoring():
            if self._clock() >= deadline:
                self.logger.warning(
                    f"These models of an earlier run do not serve yet: {', '.join(waiting)}. "
                    "Look at their logs with get_clipper_logs or `clipper logs`"
                )
                return
            self._sleep(_RESTORE_PAUSE_S)

    def _restoring(self) -> list[str]:
        """Registered versions whose containers run but do not all serve."""
        models = [
            (str(one["model_name"]), str(one["model_version"]))
            for one in self._question("get_all_models", verbose=True)
            if one["container_name"] != CONTAINERLESS_MODEL_IMAGE
        ]
        if not models:
            return []
        containers = self._question("get_all_containers", verbose=True)
        workers = self._question("get_workers")
        return [
            f"{name}:{version}"
            for name, version in models
            if ready_count(workers, containers, name, version)
            < self.cm.get_num_replicas(name, version)
            and self.cm.container_failure(name, version) is None
        ]

    def _wait_for_frontends(self) -> None:
        for tries_left in reversed(range(_START_TRIES)):
            try:
                self._probe_frontends()
                return
            except requests.RequestException:
                self.logger.debug("Clipper still initializing.")
                if not tries_left:
                    raise
                self._sleep(_START_PAUSE_S)

    def _probe_frontends(self) -> None:
        for url in (
            f"http://{self.cm.get_query_addr()}/metrics",
            f"http://{self.cm.get_admin_addr()}/admin/ping",
        ):
            reply = self._http.get(url, timeout_s=_PROBE_TIMEOUT_S)
            if reply.status != 200:
                raise requests.HTTPError(f"{url} answered {reply.status}: {reply.text[:200]}")

    def connect(self) -> None:
        """Attach to a running cluster, perhaps started by another process.

        Raises:
            ClipperException: there is no such cluster.
        """
        self.cm.connect()
        self.connected = True
        self.logger.info(f"Successfully connected to Clipper cluster at {self.cm.get_query_addr()}")

    def stop_all(self, graceful: bool = True) -> None:
        """Stop every process of the cluster, connected or not; `graceful=False` kills."""
        self.cm.stop_all(graceful=graceful)
        self.connected = False
        self.logger.info("Stopped all Clipper cluster and all model containers")

    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query frontend."""
        self._require_connection()
        return self.cm.get_query_addr()

    def get_metric_addr(self) -> str:
        """Return ``host:port`` where metrics are read."""
        self._require_connection()
        return self.cm.get_metric_addr()

    def get_clipper_logs(self, logging_dir: str = "clipper_logs/") -> list[str]:
        """Copy the cluster's logs into the directory (made if absent); return absolute paths."""
        self._require_connection()
        pathlib.Path(logging_dir).mkdir(parents=True, exist_ok=True)
        return [str(pathlib.Path(path).absolute()) for path in self.cm.get_logs(logging_dir)]

    def inspect_instance(self) -> Any:
        """Return the query frontend's metrics as a dictionary (spec §11.1)."""
        self._require_connection()
        reply: Reply = self._http.get(
            f"http://{self.cm.get_query_addr()}/metrics", accept="application/json"
        )
        return self._checked(reply).json()
