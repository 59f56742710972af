"""The cluster's network on the engine: made when it is absent, removed when nobody needs it."""

from __future__ import annotations

import logging

import docker.errors

from clipper.errors import ClipperException
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.inventory import ALIVE
from clipper.managers.docker.specs import NETWORK_LABEL
from clipper.managers.labels import CLUSTER_LABEL

_CONFLICT = 409

_log = logging.getLogger(__name__)


def ensure_network(engine: Engine, name: str, cluster_name: str) -> None:
    """Make the bridge network unless there is one of this name.

    Raises:
        ClipperException: the engine has no address range left, or the name cannot be one.
    """
    with engine.calling(f"looking for network {name}"):
        if engine.client.networks.list(names=[f"^{name}$"]):
            return
        try:
            engine.client.networks.create(
                name, driver="bridge", check_duplicate=True, labels={NETWORK_LABEL: cluster_name}
            )
        except docker.errors.APIError as error:
            if error.status_code != _CONFLICT:  # another client made it first
                raise


def networks_made_for(engine: Engine, cluster_name: str) -> list[str]:
    """Return the names of the networks that a start of this cluster made."""
    with engine.calling(f"listing the networks of cluster {cluster_name}"):
        found = engine.client.networks.list(filters={"label": f"{NETWORK_LABEL}={cluster_name}"})
    return [str(network.name) for network in found]


def remove_unused_network(engine: Engine, name: str, cluster_name: str) -> None:
    """Remove the network if Clipper made it and no container but this cluster's stopped ones is
    attached: those are made anew when the cluster starts."""
    with engine.calling(f"looking who uses network {name}"):
        networks = [
            network
            for network in engine.client.networks.list(names=[f"^{name}$"])
            if NETWORK_LABEL in (network.attrs.get("Labels") or {})
        ]
        users = engine.client.api.containers(all=True, filters={"network": [name]})
    ours = [
        user["State"] not in ALIVE and (user["Labels"] or {}).get(CLUSTER_LABEL) == cluster_name
        for user in users
    ]
    if not all(ours):
        return
    for network in networks:
        try:
            with engine.calling(f"removing network {name}"):
                network.remove()
        except docker.errors.NotFound:
            pass
        except ClipperException as error:  # somebody joined it just now
            _log.info("network %s is kept: %s", name, error)
