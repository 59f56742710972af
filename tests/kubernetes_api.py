"""A Kubernetes cluster as tests see it, and what they may make in it.

No test touches a namespace that it did not make itself.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the package is an extra: without it, tests are skipped with that reason
    from kubernetes.client import ApiClient, CoreV1Api

LABEL = {"ai.clipper.test": "kubernetes"}
"""On whatever tests make themselves."""

GONE_LIMIT_S = 180.0
"""A pod's termination grace, and time for its volumes."""

_ACCOUNT_LIMIT_S = 30.0
_ANSWER_LIMIT_S = 15


class ClusterError(Exception):
    """There should be a cluster, but it cannot be used."""


class KubernetesApi:
    """A cluster that answers, and what tests make in it, which is gone when they end."""

    def __init__(self, kubeconfig: Path, client: ApiClient) -> None:
        from kubernetes.client import CoreV1Api

        self.kubeconfig = kubeconfig
        """Its current context is the cluster's."""
        self.client = client
        self.core: CoreV1Api = CoreV1Api(client)

    @classmethod
    def opened(cls, kubeconfig: Path) -> KubernetesApi:
        """Return the API that a kubeconfig's current context names.

        Raises:
            ClusterError: the file says nothing usable, or nobody answers there.
        """
        from kubernetes import client, config

        try:
            api = cls(
                kubeconfig,
                config.new_client_from_config(config_file=str(kubeconfig), persist_config=False),
            )
        except (config.ConfigException, OSError) as error:
            raise ClusterError(f"{kubeconfig} names no usable cluster: {error}") from error
        try:
            client.VersionApi(api.client).get_code(_request_timeout=_ANSWER_LIMIT_S)
        except Exception as error:  # the client lets those of its HTTP and TLS libraries through
            api.close()
            host = api.client.configuration.host
            raise ClusterError(f"No Kubernetes API answers at {host}: {error}") from error
        return api

    def close(self) -> None:
        self.client.close()
        self.client.rest_client.pool_manager.clear()

    @contextlib.contextmanager
    def namespace(self) -> Iterator[str]:
        """Make a namespace, yield its name, and wait until it and all in it are gone."""
        name = f"clipper-test-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": name, "labels": LABEL}})
        try:
            # Until it has its account, the cluster refuses pods.
            _wait(
                lambda: _answered(self.core.read_namespaced_service_account, "default", name),
                _ACCOUNT_LIMIT_S,
                lambda: f"namespace {name} has no service account",
            )
            yield name
        finally:
            _answered(self.core.delete_namespace, name)
            _wait(
                lambda: not _answered(self.core.read_namespace, name),
                GONE_LIMIT_S,
                lambda: f"namespace {name} is still there: {self._remains(name)}",
            )

    @contextlib.contextmanager
    def persistent_volume(self, count: int = 1, size: str = "1Gi") -> Iterator[str | None]:
        """Make sure that claims can be bound; yield the storage class that they should name.

        Where the cluster has a default class that is all: None, claims should name none. Elsewhere
        volumes are made of folders of this machine, which has to be the cluster's only node.

        Open it before the namespace whose claims use it: a volume lasts as long as its claim.

        Args:
            count: how many claims there will be.
            size: of each, at most; access mode is ``ReadWriteOnce``.
        """
        if self._has_default_storage_class():
            yield None
            return
        name = f"clipper-test-{uuid.uuid4().hex[:8]}"
        volumes = [f"{name}-{number}" for number in range(count)]
        root = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        try:
            for volume in volumes:
                folder = root / volume
                folder.mkdir()
                folder.chmod(0o777)  # pods write as users of their own
                self.core.create_persistent_volume(volume_manifest(volume, name, size, folder))
            yield name
        finally:
            self._delete_volumes(volumes)
            shutil.rmtree(root, ignore_errors=True)

    def _has_default_storage_class(self) -> bool:
        from kubernetes.client import StorageV1Api

        return any(
            (one.metadata.annotations or {}).get("storageclass.kubernetes.io/is-default-class")
            == "true"
            for one in StorageV1Api(self.client).list_storage_class().items
        )

    def _delete_volumes(self, names: Sequence[str]) -> None:
        for name in names:
            _answered(self.core.delete_persistent_volume, name)
        for name in names:
            _wait(
                lambda name=name: not _answered(self.core.read_persistent_volume, name),
                GONE_LIMIT_S,
                lambda name=name: f"volume {name} is still there, claimed by {self._claim(name)}",
            )

    def _claim(self, volume: str) -> str:
        claim = self.core.read_persistent_volume(volume).spec.claim_ref
        return f"{claim.namespace}/{claim.name}" if claim else "nobody"

    def _remains(self, namespace: str) -> str:
        status = self.core.read_namespace(namespace).status
        pods = self.core.list_namespaced_pod(namespace).items
        return remains(
            [one.message for one in status.conditions or () if one.status == "True"],
            {one.metadata.name: one.status.phase for one in pods},
        )


def volume_manifest(name: str, storage_class: str, size: str, folder: Path) -> dict[str, Any]:
    """Return a volume that is a folder of the node."""
    return {
        "metadata": {"name": name, "labels": LABEL},
        "spec": {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": storage_class,
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def remains(messages: Sequence[str], pods: Mapping[str, str]) -> str:
    """Say what keeps a namespace.

    Args:
        messages: of the namespace's conditions that are true.
        pods: name → phase.
    """
    parts = [*messages, *(f"pod {name} is {phase}" for name, phase in sorted(pods.items()))]
    return "; ".join(parts) or "nothing says why"


def _wait(condition: Callable[[], bool], limit_s: float, problem: Callable[[], str]) -> None:
    give_up_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_at:
            raise TimeoutError(f"not within {limit_s:g} s: {problem()}")
        time.sleep(0.2)


def _answered(call: Callable[..., Any], *names: str) -> bool:
    """Call the API for an object; tell whether there is one."""
    from kubernetes.client import ApiException

    try:
        call(*names)
    except ApiException as error:
        if error.status != 404:
            raise
        return False
    return True
