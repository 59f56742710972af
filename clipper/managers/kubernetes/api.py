"""The Kubernetes API: one client, with a time limit on every call and errors in words.

Objects are plain dictionaries. Only the kinds that Clipper uses are known, by their path, so that
nothing has to be discovered before the first call.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError

from clipper.errors import ClipperException

FIELD_MANAGER = "clipper"
CALL_TIMEOUT_S = 30.0
_IN_CLUSTER = "KUBERNETES_SERVICE_HOST"

_PLURALS = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments",
    "Endpoints": "endpoints",
    "Event": "events",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers",
    "Namespace": "namespaces",
    "NetworkPolicy": "networkpolicies",
    "Node": "nodes",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "Pod": "pods",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PodMonitor": "podmonitors",
    "ReplicaSet": "replicasets",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "Secret": "secrets",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets",
    "StorageClass": "storageclasses",
}
_OF_WHOLE_CLUSTER = {"Namespace", "Node", "StorageClass"}

Object = dict[str, Any]


class ClusterAbsent(ClipperException):
    """No API server answers."""


class Refused(ClipperException):
    """The API server refused."""

    def __init__(self, msg: str, status: int) -> None:
        super().__init__(msg)
        self.status = status


class KubernetesApi:
    """A connection to the cluster that kubectl would use, or to the one this process runs in."""

    def __init__(
        self,
        kubeconfig: str | None = None,
        context: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Read how to connect; nothing is asked yet.

        Args:
            kubeconfig: file; None: the one that ``KUBECONFIG`` names, or ``~/.kube/config``, or
                inside a pod its own account.
            context: of that file; None: the current one.

        Raises:
            ClusterAbsent: there is no such file or context.
        """
        self._timeout_s = timeout_s
        settings = client.Configuration()
        # A call that was cut short is tried again by whoever knows whether that is safe.
        settings.retries = 0
        try:
            _load(settings, kubeconfig, context)
        except (ConfigException, OSError) as error:
            raise ClusterAbsent(
                f"No Kubernetes cluster is configured here ({error}). `kubectl cluster-info` must "
                "answer: let KUBECONFIG name the file, or give kubeconfig and context"
            ) from error
        self.server = str(settings.host)
        self._client = DynamicClient(  # type: ignore[no-untyped-call]
            client.ApiClient(settings), discoverer=_no_discovery
        )

    def apply(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        """Make the object, or bring what Clipper set of it up to date, and return it.

        Fields that others set stay as they are (server-side apply, one field manager).

        Args:
            dry_run: change nothing; return what it would be.

        Raises:
            Refused: the API server refused.
        """
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        if dry_run:
            query.append(("dryRun", "All"))
        return self._call(
            "patch",
            _path_of(wanted),
            body=json.dumps(wanted),
            content_type="application/apply-patch+yaml",
            query_params=query,
            what=f"applying {_named(wanted)}",
        )

    def create(self, wanted: Mapping[str, Any]) -> Object | None:
        """Make the object and return it; None: it exists already."""
        path = _path(wanted["apiVersion"], wanted["kind"], wanted["metadata"].get("namespace"))
        try:
            return self._call(
                "post",
                path,
                body=dict(wanted),
                query_params=[("fieldManager", FIELD_MANAGER)],
                what=f"making {_named(wanted)}",
            )
        except Refused as refusal:
            if refusal.status == _CONFLICT:
                return None
            raise

    def replace(self, changed: Mapping[str, Any]) -> Object | None:
        """Replace what was read before; None: somebody else was quicker, or it is gone."""
        try:
            return self._call(
                "put", _path_of(changed), body=dict(changed), what=f"changing {_named(changed)}"
            )
        except Refused as refusal:
            if refusal.status == _CONFLICT:
                return None
            raise
        except Missing:
            return None

    def patch(
        self, version: str, kind: str, name: str, namespace: str, change: Mapping[str, Any]
    ) -> Object:
        """Merge a change into an object and return it.

        Raises:
            Missing: there is none.
        """
        return self._call(
            "patch",
            f"{_path(version, kind, namespace)}/{name}",
            body=dict(change),
            content_type="application/merge-patch+json",
            query_params=[("fieldManager", FIELD_MANAGER)],
            what=f"changing {kind} {name}",
        )

    def get(
        self, version: str, kind: str, name: str, namespace: str | None = None
    ) -> Object | None:
        """Return an object; None: there is none."""
        try:
            return self._call(
                "get", f"{_path(version, kind, namespace)}/{name}", what=f"reading {kind} {name}"
            )
        except Missing:
            return None

    def list(
        self,
        version: str,
        kind: str,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: str | None = None,
    ) -> Sequence[Object]:
        """Return all objects of a kind with these labels; none where the kind is not offered."""
        query = []
        if labels:
            query.append(("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())))
        if fields:
            query.append(("fieldSelector", fields))
        try:
            found = self._call(
                "get", _path(version, kind, namespace), query_params=query,
                what=f"listing {_PLURALS[kind]}",
            )  # fmt: skip
        except Missing:
            return []
        return [{"apiVersion": version, "kind": kind, **one} for one in found["items"]]

    def delete(
        self,
        version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        wait_for_owned: bool = False,
        grace_s: int | None = None,
    ) -> bool:
        """Delete an object; what it owns goes with it. Return whether there was one.

        Args:
            wait_for_owned: whether the object stays visible until what it owns is gone.
            grace_s: seconds that its processes get; None: as it says itself.
        """
        body: Object = {"propagationPolicy": "Foreground" if wait_for_owned else "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        path = f"{_path(version, kind, namespace)}/{name}"
        try:
            self._call("delete", path, body=body, what=f"deleting {kind} {name}")
        except Missing:
            return False
        return True

    def log(
        self, pod: str, namespace: str, container: str, *, lines: int | None = None,
        previous: bool = False, since: str | None = None, timestamps: bool = False,
    ) -> bytes:  # fmt: skip
        """Return a container's log, or its last lines.

        Args:
            previous: of its run before this one.
            since: only lines of this second and later; a time as the API writes it.
            timestamps: whether each line begins with its time and a space.

        Raises:
            Missing: there is no such pod.
            Refused: it has no log, since it has not started.
        """
        query = [("container", container), ("previous", "true" if previous else "false")]
        if lines is not None:
            query.append(("tailLines", str(lines)))
        if since is not None:
            query.append(("sinceTime", since))
        if timestamps:
            query.append(("timestamps", "true"))
        with self._calling(f"reading the log of pod {pod}"):
            answer = self._client.request(
                "get",
                f"{_path('v1', 'Pod', namespace)}/{pod}/log",
                query_params=query,
                serialize=False,
                _request_timeout=self._timeout_s,
            )
            return bytes(answer.data)

    def offers(self, version: str, kind: str) -> bool:
        """Return whether the cluster has this kind in this API version."""
        try:
            listed = self._call("get", _root(version), what=f"asking for {version}")
        except Missing:
            return False
        return any(one["kind"] == kind for one in listed["resources"])

    def may(self, verb: str, resource: str, namespace: str, group: str = "") -> bool:
        """Return whether this user may do something.

        Args:
            resource: such as ``pods`` or ``pods/log``.
        """
        attributes = {"namespace": namespace, "verb": verb, "group": group}
        attributes["resource"], _, attributes["subresource"] = resource.partition("/")
        review = self._call(
            "post",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body={
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
            what="asking what this user may do",
        )
        return bool(review["status"]["allowed"])

    def server_version(self) -> str:
        """Return the cluster's version, such as ``v1.20.2``."""
        return str(self._call("get", "/version", what="asking for its version")["gitVersion"])

    def close(self) -> None:
        """Close the connections."""
        self._client.client.rest_client.pool_manager.clear()

    def _call(self, method: str, path: str, *, what: str, **parameters: Any) -> Object:
        with self._calling(what):
            answer = self._client.request(
                method, path, serialize=False, _request_timeout=self._timeout_s, **parameters
            )
            content: Object = json.loads(answer.data)
            return content

    @contextlib.contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        try:
            yield
        except NotFoundError as error:
            raise Missing(f"Kubernetes, {what}: {_words(error)}", _MISSING) from error
        except ApiException as error:
            if not error.status:
                raise self._absent(what, error) from error
            raise Refused(f"Kubernetes refused {what}: {_words(error)}", error.status) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._absent(what, error) from error

    def _absent(self, what: str, error: Exception) -> ClusterAbsent:
        reason = getattr(error, "reason", None) or error
        return ClusterAbsent(
            f"The Kubernetes API at {self.server} does not answer while {what} ({reason}). "
            "`kubectl cluster-info` must answer; look at the context in use with "
            "`kubectl config current-context`"
        )


class Missing(Refused):
    """There is no such object, or the API server does not know its kind."""


_MISSING = 404
_CONFLICT = 409


def _load(settings: client.Configuration, kubeconfig: str | None, context: str | None) -> None:
    try:
        config.load_kube_config(kubeconfig, context, settings)
    except ConfigException:
        if kubeconfig is not None or context is not None or _IN_CLUSTER not in os.environ:
            raise
        config.load_incluster_config(settings)


def _no_discovery(*_: object) -> None:
    """Paths are known: see `_PLURALS`."""


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


def _path(version: str, kind: str, namespace: str | None) -> str:
    place = f"/namespaces/{namespace}" if namespace and kind not in _OF_WHOLE_CLUSTER else ""
    return f"{_root(version)}{place}/{_PLURALS[kind]}"


def _path_of(wanted: Mapping[str, Any]) -> str:
    metadata = wanted["metadata"]
    path = _path(wanted["apiVersion"], wanted["kind"], metadata.get("namespace"))
    return f"{path}/{metadata['name']}"


def _named(wanted: Mapping[str, Any]) -> str:
    return f"{wanted['kind']} {wanted['metadata']['name']}"


def _words(error: ApiException) -> str:
    """Return the API server's own words."""
    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, TypeError, KeyError):
        message = error.reason
    return str(message)
