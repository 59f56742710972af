"""Stopping a cluster, whatever is left of it, and forgetting one."""

from __future__ import annotations

from collections.abc import Iterable

from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.docker import inventory, model_build, replicas
from clipper.managers.docker.claims import remove_claims
from clipper.managers.docker.core import remove_volume
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.network import networks_made_for, remove_unused_network
from clipper.managers.docker.specs import Role

_CORE_ORDER = (
    (Role.QUERY, Role.METRICS),
    (Role.MANAGEMENT,),
    (Role.STORE,),
    (Role.LOGGING,),
)
"""In which the core stops, after the models."""


def stop_cluster(engine: Engine, cluster_name: str, graceful: bool) -> None:
    """Stop everything of the cluster. The store's volume stays, and so do the stopped model
    containers: they say what the next start brings back."""
    grace_s = replicas.GRACE_S if graceful else 0
    found = inventory.find(engine, cluster_name)
    models = inventory.alive(inventory.of_role(found, Role.MODEL))
    inventory.stop(engine, models, grace_s, remove=False)
    for roles in _CORE_ORDER:
        inventory.stop(engine, inventory.of_role(found, *roles), grace_s, remove=True)
    _remove_networks(engine, cluster_name, found)


def delete_cluster(engine: Engine, cluster_name: str) -> None:
    """Remove the stopped cluster's containers, data, networks and model images.

    Raises:
        ClipperException: the cluster runs.
    """
    found = inventory.find(engine, cluster_name)
    if inventory.alive(found):
        raise ClipperException(
            f"Cluster {cluster_name} runs; stop it first (stop_all or `clipper down`)."
        )
    for container in found:
        inventory.discard(engine, container)
    remove_claims(engine, cluster_name)
    remove_volume(engine, cluster_name)
    model_build.remove_model_images(engine, cluster_name)
    _remove_networks(engine, cluster_name, found)


def _remove_networks(engine: Engine, cluster_name: str, containers: Iterable[Container]) -> None:
    # Also those whose containers somebody removed by hand.
    used = {str(one.attrs["HostConfig"]["NetworkMode"]) for one in containers}
    for name in sorted(used | set(networks_made_for(engine, cluster_name))):
        remove_unused_network(engine, name, cluster_name)
