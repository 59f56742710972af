"""The two calls that the autoscaler makes to the Kubernetes API server.

Not with the official client: a process that lists Deployments and sets a number needs none of its
40 MB. Rights that these calls need, in the cluster's namespace and nothing else: ``list`` on
``deployments``, ``patch`` on ``deployments/scale``, both of the group ``apps``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pathlib
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from clipper.datatypes import VersionedModelId
from clipper.errors import ClipperException
from clipper.management.autoscaling.cluster import ClusterUnavailable, ScaledDeployment
from clipper.management.autoscaling.decision import Replicas

log = logging.getLogger(__name__)

SERVICE_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token, the API server's certificate authority and the namespace."""
MINIMUM = "ai.clipper/autoscale-min"
MAXIMUM = "ai.clipper/autoscale-max"
"""Annotations of a Deployment; a version is scaled exactly when it has both."""
MODEL_NAME = "ai.clipper/model-name"
MODEL_VERSION = "ai.clipper/model-version"

_FIELD_MANAGER = "clipper-autoscaler"


class InvalidDeployment(ClipperException):
    """A Deployment's annotations make no sense; the text says which and why."""


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterAddress:
    """Where the API server is, and as whom to speak to it."""

    url: str
    namespace: str
    cluster_name: str
    """Clipper's, as in the label ``ai.clipper.container.label``."""
    token_file: pathlib.Path | None = None
    """Read again for every call, since the token is replaced every hour or so."""
    ca_file: pathlib.Path | None = None


def in_cluster_address(
    environment: Mapping[str, str],
    cluster_name: str,
    namespace: str | None,
    service_account: pathlib.Path = SERVICE_ACCOUNT,
) -> ClusterAddress:
    """Return the address that Kubernetes gives to the processes of a pod.

    Raises:
        ClipperException: this process does not run in a pod with a service account.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    if not host or not (service_account / "token").exists():
        raise ClipperException(
            "--autoscale kubernetes works in a pod of the cluster only: KUBERNETES_SERVICE_HOST "
            f"or {service_account / 'token'} is missing. Run the management frontend as a "
            "Deployment whose pods mount a service account's token, or leave --autoscale out."
        )
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not namespace:
        namespace = (service_account / "namespace").read_text().strip()
    netloc = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return ClusterAddress(
        url=f"https://{netloc}",
        namespace=namespace,
        cluster_name=cluster_name,
        token_file=service_account / "token",
        ca_file=service_account / "ca.crt",
    )


class KubernetesCluster:
    """Lists the scaled Deployments of one Clipper cluster and sets their numbers of replicas."""

    def __init__(self, address: ClusterAddress, timeout_s: float = 5.0) -> None:
        """No call takes longer than ``timeout_s``."""
        self._address = address
        self._base = f"/apis/apps/v1/namespaces/{address.namespace}/deployments"
        self._faults: dict[str, str] = {}
        """Deployment → what is wrong with it, as it was logged."""
        self._client = httpx.AsyncClient(
            base_url=address.url,
            timeout=timeout_s,
            verify=_trust(address.ca_file),
            trust_env=False,  # a proxy for the outer world is none for the API server
        )
        self._timeout_s = timeout_s

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def scaled_deployments(self) -> list[ScaledDeployment]:
        """Return the Deployments whose replicas are to be scaled, by name.

        Those with annotations that cannot be read are logged, once, and left out.

        Raises:
            ClusterUnavailable: the API server did not answer, or refused.
        """
        labels = f"ai.clipper.container.label={self._address.cluster_name},ai.clipper.name=model"
        found = await self._call("GET", self._base, params={"labelSelector": labels})
        deployments: list[ScaledDeployment] = []
        faults: dict[str, str] = {}
        for item in found.get("items", []):
            try:
                deployment = read_deployment(item)
            except InvalidDeployment as error:
                name = item["metadata"]["name"]
                faults[name] = str(error)
                if self._faults.get(name) != faults[name]:
                    log.error("Deployment %s is not scaled: %s", name, error)
                continue
            if deployment is not None:
                deployments.append(deployment)
        self._faults = faults
        return sorted(deployments, key=lambda one: one.name)

    async def set_replicas(self, deployment: ScaledDeployment, replicas: int) -> None:
        """Ask for so many replicas, unless the Deployment has changed since it was listed.

        Raises:
            ClusterUnavailable: the API server did not answer or refused, also because of a change.
        """
        body = {
            # An operator may have scaled it to zero in this very moment: then this must fail.
            "metadata": {"resourceVersion": deployment.resource_version},
            "spec": {"replicas": replicas},
        }
        await self._call(
            "PATCH",
            f"{self._base}/{deployment.name}/scale",
            params={"fieldManager": _FIELD_MANAGER},
            headers={"content-type": "application/merge-patch+json"},
            json=body,
        )

    async def _call(self, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        headers = {**arguments.pop("headers", {}), "accept": "application/json"}
        try:
            if self._address.token_file is not None:
                token = self._address.token_file.read_text().strip()
                headers["authorization"] = f"Bearer {token}"
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.request(method, path, headers=headers, **arguments)
            answer = response.json() if response.is_success else {}
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise ClusterUnavailable(
                f"The Kubernetes API server at {self._address.url} did not answer {method} {path}: "
                f"{error or type(error).__name__}"
            ) from error
        if response.is_success and isinstance(answer, dict):
            return answer
        raise ClusterUnavailable(_refusal(response, method, path))


def read_deployment(item: Mapping[str, Any]) -> ScaledDeployment | None:
    """Return what the autoscaler needs of a Deployment; None: it is not to be scaled.

    Raises:
        InvalidDeployment: it is, but its annotations cannot be read.
    """
    metadata, spec, status = item["metadata"], item["spec"], item.get("status", {})
    annotations = metadata.get("annotations") or {}
    if MINIMUM not in annotations and MAXIMUM not in annotations:
        return None
    bounds = []
    for name in (MINIMUM, MAXIMUM):
        text = annotations.get(name, "")
        if not (text.isascii() and text.isdigit()):
            raise InvalidDeployment(
                f"annotation {name} is {text!r}; give both {MINIMUM} and {MAXIMUM}, whole numbers"
            )
        bounds.append(int(text))
    minimum, maximum = bounds
    if not 1 <= minimum <= maximum:
        raise InvalidDeployment(
            f"annotations {MINIMUM}={minimum} and {MAXIMUM}={maximum}: 1 <= minimum <= maximum "
            "is needed"
        )
    if not annotations.get(MODEL_NAME) or not annotations.get(MODEL_VERSION):
        raise InvalidDeployment(f"annotations {MODEL_NAME} and {MODEL_VERSION} are missing")
    return ScaledDeployment(
        name=metadata["name"],
        model=VersionedModelId(annotations[MODEL_NAME], annotations[MODEL_VERSION]),
        replicas=Replicas(
            minimum=minimum,
            maximum=maximum,
            current=int(spec.get("replicas", 1)),
            ready=int(status.get("readyReplicas", 0)),
        ),
        resource_version=metadata.get("resourceVersion", ""),
    )


def _trust(ca_file: pathlib.Path | None) -> ssl.SSLContext | bool:
    return True if ca_file is None else ssl.create_default_context(cafile=str(ca_file))


def _refusal(response: httpx.Response, method: str, path: str) -> str:
    """Return why the API server refused, and what to do where that is known."""
    try:
        said = str(response.json().get("message", ""))
    except (ValueError, AttributeError):
        said = response.text[:200]
    advice = ""
    if response.status_code in (401, 403):
        advice = (
            ". Give the management frontend's service account the verbs list on deployments and "
            "patch on deployments/scale"
        )
    elif response.status_code == 409:
        advice = ". The Deployment was changed meanwhile; the next decision looks at it afresh"
    return (
        f"The Kubernetes API server refused {method} {path}: {response.status_code} {said}{advice}"
    )
