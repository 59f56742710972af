"""Why a node cannot get an image, and what to do about it. Pure."""

from __future__ import annotations

import re

PULL_REASONS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
"""Why a container waits, where its image is what it waits for."""

_REFUSED = re.compile(r"unauthorized|authentication|denied|no basic auth|forbidden", re.I)
_UNREACHABLE = re.compile(
    r"no such host|timeout|timed out|connection refused|network is unreachable|x509|certificate"
    r"|server gave HTTP response",
    re.I,
)


def in_registry(image: str) -> bool:
    """Return whether an image's name begins with the address of a registry."""
    host, slash, _ = image.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def pull_step(image: str, message: str) -> str:
    """Return what to do for a node to get an image.

    Args:
        message: the kubelet's, as far as it is known.
    """
    if "InvalidImageName" in message:
        return "Give an image name of the form registry/name:tag"
    if not in_registry(image):
        return (
            f"{image} names no registry, so nodes must have it already. On a cluster of this "
            f"machine: `kind load docker-image {image}` or `minikube image load {image}`. Else "
            "push it where nodes can pull: Clipper's own images with `clipper images build "
            "--registry REGISTRY --push` and `clipper up --registry REGISTRY`, a model's with "
            "`clipper deploy --registry REGISTRY`"
        )
    if _UNREACHABLE.search(message):
        return (
            f"The nodes do not reach the registry of {image}, or do not trust it: try `docker pull "
            f"{image}` on a node, and look at its network, DNS and certificates"
        )
    if _REFUSED.search(message):
        return (
            "Either it is not there (`docker push` it), or nodes need credentials: `kubectl create "
            "secret docker-registry NAME --docker-server=… --docker-username=… "
            "--docker-password=…`, then `clipper up --pull-secret NAME`"
        )
    return f"Push it: `docker push {image}`, or for Clipper's own images `clipper images push`"
