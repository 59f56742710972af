"""What the user of `clipper --mode kubernetes` has to be allowed, in words and as a check. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

_MANAGED = ("get", "list", "create", "patch", "delete")

RIGHTS: Mapping[tuple[str, str], Sequence[str]] = {
    ("", "configmaps"): (*_MANAGED, "update"),
    ("", "secrets"): _MANAGED,
    ("", "serviceaccounts"): _MANAGED,
    ("", "services"): _MANAGED,
    ("", "pods"): ("get", "list", "watch", "delete"),
    ("", "pods/log"): ("get",),
    ("", "persistentvolumeclaims"): ("get", "list", "delete"),
    ("", "events"): ("list",),
    ("", "endpoints"): ("list",),
    ("apps", "deployments"): _MANAGED,
    ("apps", "deployments/scale"): ("get", "patch"),
    ("apps", "statefulsets"): _MANAGED,
    ("autoscaling", "horizontalpodautoscalers"): _MANAGED,
    ("monitoring.coreos.com", "podmonitors"): _MANAGED,
    ("networking.k8s.io", "networkpolicies"): _MANAGED,
    ("policy", "poddisruptionbudgets"): _MANAGED,
    ("rbac.authorization.k8s.io", "roles"): _MANAGED,
    ("rbac.authorization.k8s.io", "rolebindings"): _MANAGED,
}
"""(API group, resource) → verbs, all in the cluster's namespace.

Some are there only because nobody can grant a pod's account what he may not do himself.
"""

Denied = Mapping[tuple[str, str], Sequence[str]]
"""The same, of what is not allowed."""


def resource_name(group: str, resource: str) -> str:
    """Return a resource as kubectl writes it, such as ``deployments.apps``."""
    return f"{resource}.{group}" if group else resource


def describe(denied: Denied) -> str:
    """Return what is not allowed, resources with the same verbs together."""
    return "; ".join(_groups(denied))


def _groups(denied: Denied) -> Iterator[str]:
    by_verbs: dict[tuple[str, ...], list[str]] = {}
    for (group, resource), verbs in denied.items():
        by_verbs.setdefault(tuple(verbs), []).append(resource_name(group, resource))
    for found, resources in by_verbs.items():
        yield f"{', '.join(found)} {', '.join(resources)}"
