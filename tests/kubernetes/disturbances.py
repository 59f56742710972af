"""What happens to pods in the field, done to one pod of a cluster on this machine's engine."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.clusters import eventually
from tests.e2e.kubernetes_clusters import KubernetesCluster


def delete(cluster: KubernetesCluster, pod: Any) -> None:
    """`kubectl delete pod`, and wait until it is gone and another one serves in its place."""
    name, uid = pod.metadata.name, pod.metadata.uid
    cluster.core.delete_namespaced_pod(name, cluster.namespace)
    eventually(lambda: uid not in _uids(cluster), f"pod {name} is gone", timeout_s=120)


def evict(cluster: KubernetesCluster, pod: Any) -> bool:
    """Ask for an eviction as `kubectl drain` does; False: a disruption budget forbids it now."""
    from kubernetes.client import ApiException

    body = {
        "apiVersion": "policy/v1beta1",
        "kind": "Eviction",
        "metadata": {"name": pod.metadata.name, "namespace": cluster.namespace},
    }
    try:
        cluster.core.create_namespaced_pod_eviction(pod.metadata.name, cluster.namespace, body)
    except ApiException as error:
        if error.status != 429:
            raise
        return False
    return True


def crash(cluster: KubernetesCluster, pod: Any) -> None:
    """SIGKILL the container's process, and wait until it was started again."""
    before = pod.status.container_statuses[0].restart_count
    os.kill(_pid(pod), signal.SIGKILL)
    eventually(
        lambda: restarts(cluster, pod) > before, f"{pod.metadata.name} was started again",
        timeout_s=60,
    )  # fmt: skip


@contextlib.contextmanager
def frozen(pod: Any) -> Iterator[None]:
    """`docker pause`: it keeps its connections and does nothing."""
    with _container(pod) as container:
        container.pause()
        try:
            yield
        finally:
            container.unpause()


@contextlib.contextmanager
def silent_api_server(kubeconfig: Path) -> Iterator[None]:
    """Stop the process of the API server that was started for the tests; it goes on afterwards."""
    file = kubeconfig.parent / "apiserver.pid"
    if not file.exists():
        pytest.skip("the API server was not started for the tests")
    pid = int(file.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def restarts(cluster: KubernetesCluster, pod: Any) -> int:
    """Return how often a pod's container was started again."""
    found = cluster.core.read_namespaced_pod(pod.metadata.name, cluster.namespace)
    return int(found.status.container_statuses[0].restart_count)


def _uids(cluster: KubernetesCluster) -> set[str]:
    return {pod.metadata.uid for pod in cluster.core.list_namespaced_pod(cluster.namespace).items}


def _pid(pod: Any) -> int:
    with _container(pod) as container:
        return int(container.attrs["State"]["Pid"])


@contextlib.contextmanager
def _container(pod: Any) -> Iterator[Any]:
    """Yield the first container of a pod as this machine's engine knows it."""
    scheme, _, identifier = pod.status.container_statuses[0].container_id.partition("://")
    if scheme != "docker":
        pytest.skip("the node's containers are not this machine's engine's")
    client = docker.from_env()
    try:
        yield client.containers.get(identifier)
    except docker.errors.NotFound:
        pytest.skip("the node is another machine")
    finally:
        client.close()
