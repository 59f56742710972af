"""What Prometheus is told: its configuration, and whom it shall scrape (spec §11.5).

The configuration never changes while a cluster runs. The targets stand in a file of their own,
which Prometheus rereads by itself, so that scaling needs no reload and a stopped replica never
stays behind as a target that is down.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable

from clipper.managers.base import METRIC_PORT, QUERY_PORT

CONFIG_DIRECTORY = "/etc/clipper-prometheus"
"""Where the configuration stands inside the Prometheus container."""
CONFIG_FILE = f"{CONFIG_DIRECTORY}/prometheus.yml"
TARGETS_FILE = f"{CONFIG_DIRECTORY}/targets/clipper.json"
"""What `target_groups` belongs into. Replace it by renaming: it is reread whenever it changes."""
RULES_DIRECTORY = f"{CONFIG_DIRECTORY}/rules"
"""Rule files that an operator adds are read from here, ``*.yml``."""

FRONTEND_JOB = "query"
MODEL_JOB = "model"

_SCRAPE_INTERVAL_S = 5
_REFRESH_INTERVAL_S = 5
"""A floor under the file's own change notices, which not every file system gives."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class FrontendTarget:
    """One query frontend."""

    container: str
    """Its name on the cluster's network."""
    port: int = QUERY_PORT
    """HTTP port inside the network; ``/metrics`` is served there."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class ReplicaTarget:
    """One model container."""

    container: str
    """Its name on the cluster's network."""
    model_name: str
    model_version: str
    port: int = METRIC_PORT
    """Metrics port inside the network."""


def configuration() -> bytes:
    """Return ``prometheus.yml``: every 5 s, whatever the targets' file names (spec §11.5)."""
    return (
        "global:\n"
        f"  scrape_interval: {_SCRAPE_INTERVAL_S}s\n"
        f"  evaluation_interval: {_SCRAPE_INTERVAL_S}s\n"
        "rule_files:\n"
        f"  - {RULES_DIRECTORY}/*.yml\n"
        "scrape_configs:\n"
        "  - job_name: clipper\n"
        "    file_sd_configs:\n"
        f"      - files: [{CONFIG_DIRECTORY}/targets/*.json]\n"
        f"        refresh_interval: {_REFRESH_INTERVAL_S}s\n"
    ).encode()


def target_groups(frontends: Iterable[FrontendTarget], replicas: Iterable[ReplicaTarget]) -> bytes:
    """Return the content of the targets' file; equal targets give equal bytes.

    Frontends have the label ``job="query"``, model containers ``job="model"`` with ``model_name``
    and ``model_version``; both have ``container``.
    """
    groups = [
        _group(frontend.container, frontend.port, job=FRONTEND_JOB)
        for frontend in sorted(set(frontends))
    ]
    groups += [
        _group(
            replica.container,
            replica.port,
            job=MODEL_JOB,
            model_name=replica.model_name,
            model_version=replica.model_version,
        )
        for replica in sorted(set(replicas))
    ]
    return (json.dumps(groups, indent=2, sort_keys=True) + "\n").encode()


def _group(container: str, port: int, **labels: str) -> dict[str, object]:
    return {"targets": [f"{container}:{port}"], "labels": {"container": container, **labels}}
