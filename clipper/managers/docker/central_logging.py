"""Centralized logging: every container's output goes to one collector (spec §10.5, §11.7).

The collector is a fluentd container of the cluster. The Docker engine itself, not the network of
the cluster, sends it the output of all others, through its published port.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from docker.types import LogConfig

from clipper.errors import ClipperException

FLUENTD_IMAGE = "fluent/fluentd:v1.16-debian-1"
FLUENTD_PORT = 24224
"""Inside the container, TCP and UDP (UDP carries heartbeats only)."""

CONFIG_FILE = "/fluentd/etc/fluent.conf"
"""Where the image reads its configuration; it must stand there before the container starts."""
LOG_DIRECTORY = "/fluentd/log"
"""Where the collector keeps what it received; a volume here survives the container."""

PORT_LABEL = "ai.clipper.fluentd.port"
"""Value: the published host port of the collector."""
CONFIG_LABEL = "ai.clipper.fluentd.config"
"""Value: the configuration's path in the collector's container."""

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Collector:
    """The collector of a cluster, as its containers' log driver and its labels name it."""

    port: int
    """Published host port."""
    config_path: str = CONFIG_FILE

    @classmethod
    def from_labels(cls, labels: Mapping[str, str]) -> Collector:
        """Read the labels of a running collector's container.

        Raises:
            ClipperException: they are not those of a collector.
        """
        try:
            return cls(int(labels[PORT_LABEL]), labels[CONFIG_LABEL])
        except (KeyError, ValueError) as error:
            raise ClipperException(
                f"The fluentd container of this cluster lacks a usable label ({error}). Stop the "
                "cluster and start it again"
            ) from error

    def log_config(self) -> LogConfig:
        """Return what every container of the cluster is run with, the collector excepted.

        The engine connects on its own time: a collector that is away delays no start and no
        output. Lines wait in the engine's memory meanwhile, up to a limit.
        """
        return LogConfig(
            type="fluentd",
            config={
                "fluentd-address": f"127.0.0.1:{self.port}",
                "fluentd-async": "true",
                "tag": "{{.Name}}",
            },
        )


def configuration() -> bytes:
    """Return ``fluent.conf``: receive, print, and keep a file per container and day.

    What is printed is read with ``docker logs``; the files stand in `LOG_DIRECTORY`.
    """
    return f"""\
<source>
  @type forward
  bind 0.0.0.0
  port {FLUENTD_PORT}
</source>

<match **>
  @type copy
  <store>
    @type stdout
  </store>
  <store>
    @type file
    path {LOG_DIRECTORY}/${{tag}}/%Y-%m-%d
    append true
    <format>
      @type json
    </format>
    <buffer tag,time>
      timekey 1d
      flush_mode interval
      flush_interval 5s
    </buffer>
  </store>
</match>
""".encode()


def adopt(
    requested: bool, collector_labels: Mapping[str, str] | None, cluster_name: str
) -> Collector | None:
    """Return the collector that a manager which connects to a cluster has to use; None: none.

    A cluster that logs centrally makes the manager do so too.

    Args:
        requested: the manager was made with ``use_centralized_log=True``.
        collector_labels: labels of the cluster's running fluentd container, if there is one.
        cluster_name: of the cluster, for messages.

    Raises:
        ClipperException: requested, and the cluster has no collector.
    """
    if collector_labels is None:
        if requested:
            raise ClipperException(
                "Invalid state detected. use_centralized_log is True, but cluster "
                f"{cluster_name} runs without a fluentd container. Connect with "
                "use_centralized_log=False, or stop the cluster and start it with True"
            )
        return None
    if not requested:
        _log.info(
            "cluster %s logs to its fluentd container: use_centralized_log is now True",
            cluster_name,
        )
    return Collector.from_labels(collector_labels)


def logs_elsewhere(collector_name: str) -> NotImplementedError:
    """Return what `get_logs` of a cluster with centralized logging raises."""
    return NotImplementedError(
        "get_logs is not available with use_centralized_log=True: all logs are in the container "
        f"{collector_name}. Read them with `docker logs {collector_name}`, or take the files with "
        f"`docker cp {collector_name}:{LOG_DIRECTORY} .`"
    )
