"""Telling the cluster's Prometheus whom to scrape, after every change of the containers."""

from __future__ import annotations

import logging

from clipper.errors import ClipperException
from clipper.managers.docker import inventory, plan, targets
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.launch import put_files
from clipper.managers.docker.specs import Role

_log = logging.getLogger(__name__)


def update_targets(engine: Engine, cluster_name: str) -> None:
    """Write the full list of what runs now into the Prometheus container, if there is one.

    A failure is a warning: a model that serves must not fail for want of its metrics.
    """
    containers = inventory.alive(inventory.find(engine, cluster_name))
    frontends = [
        targets.FrontendTarget(str(one.name)) for one in inventory.of_role(containers, Role.QUERY)
    ]
    replicas = []
    for one in inventory.of_role(containers, Role.MODEL):
        model = inventory.model_of(one)
        host = plan.metrics_host(str(one.name), str(one.id))
        replicas.append(targets.ReplicaTarget(host, model.name, model.version))
    content = targets.target_groups(frontends, replicas)
    for prometheus in inventory.of_role(containers, Role.METRICS):
        try:
            put_files(engine, prometheus, {targets.TARGETS_FILE: content})
        except ClipperException as error:
            _log.warning("[%s] Prometheus does not learn what runs now: %s", cluster_name, error)
