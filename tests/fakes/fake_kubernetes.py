"""A Kubernetes API server in memory, with as much of the controllers as the manager waits for.

Whatever is applied runs at once: a workload has its pods as soon as it is there, and a pod is
ready unless `FakeKubernetes.statuses` says otherwise of its image.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from clipper.managers.kubernetes.api import Missing, Object, Refused

Key = tuple[str, str, str]
"""Kind, namespace (empty: none), name."""

DEFAULT_CLASS = {"storageclass.kubernetes.io/is-default-class": "true"}
VERSIONS = frozenset({"policy/v1", "autoscaling/v2"})
"""API versions that not every Kubernetes has, and this one does."""

_WORKLOADS = ("Deployment", "StatefulSet")
_OF_WHOLE_CLUSTER = ("Namespace", "Node", "StorageClass")
_FIRST_NODE_PORT = 30000


class FakeKubernetes:
    """`KubernetesApi` without a network. Not for several threads."""

    server = "https://fake"

    def __init__(self, *namespaces: str) -> None:
        self.objects: dict[Key, Object] = {}
        self.changes: list[tuple[str, Key]] = []
        """What was done to which object, oldest first; ``apply``, ``create``, ``delete``, …"""
        self.versions = set(VERSIONS)
        self.refused: dict[tuple[str, str], Refused] = {}
        """Verb and kind → what is raised instead."""
        self.forbidden: set[str] = set()
        """Resources of which `may` says no."""
        self.statuses: dict[str, Object] = {}
        """Image → status of its pods; others are ready."""
        self.logs: dict[str, bytes] = {}
        """Pod → log."""
        self.events: dict[str, list[Object]] = {}
        """Pod → what happened to it."""
        self._numbers = itertools.count(1)
        for name in ("default", *namespaces):
            self._put(_object("v1", "Namespace", name, status={"phase": "Active"}))
        addresses = [{"type": "ExternalIP", "address": "203.0.113.1"}]
        self._put(_object("v1", "Node", "node", status={"addresses": addresses}))
        self._put(_object("storage.k8s.io/v1", "StorageClass", "usual", annotations=DEFAULT_CLASS))

    def apply(self, wanted: Mapping[str, Any], *, dry_run: bool = False) -> Object:
        key = self._allowed("apply", wanted)
        before = self.objects.get(key)
        after = copy.deepcopy(dict(wanted))
        if before is not None:
            after = {**_without_spec(before), **after}
            after["metadata"] = {**before["metadata"], **after["metadata"]}
            if _meant(before) == _meant(after):
                return copy.deepcopy(before)
        return after if dry_run else self._put(after)

    def create(self, wanted: Mapping[str, Any]) -> Object | None:
        key = self._allowed("create", wanted)
        return None if key in self.objects else self._put(copy.deepcopy(dict(wanted)))

    def replace(self, changed: Mapping[str, Any]) -> Object | None:
        key = self._allowed("replace", changed)
        before = self.objects.get(key)
        if (
            before is None
            or before["metadata"]["resourceVersion"] != (changed["metadata"]["resourceVersion"])
        ):
            return None
        return self._put(copy.deepcopy(dict(changed)))

    def patch(
        self, version: str, kind: str, name: str, namespace: str, change: Mapping[str, Any]
    ) -> Object:
        before = self.get(version, kind, name, namespace)
        if before is None:
            raise Missing(f"no {kind} {name}", 404)
        self._allowed("patch", before)
        return self._put(_merged(before, change))

    def get(
        self, version: str, kind: str, name: str, namespace: str | None = None
    ) -> Object | None:
        self._refuse("get", kind)
        place = "" if kind in _OF_WHOLE_CLUSTER else namespace or ""
        found = self.objects.get((kind, place, name))
        return copy.deepcopy(found)

    def list(
        self,
        version: str,
        kind: str,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        fields: str | None = None,
    ) -> Sequence[Object]:
        self._refuse("list", kind)
        if fields is not None:
            assert kind == "Event", "field selectors are known for events alone"
            return self.events.get(fields.rpartition("=")[2], [])
        return [
            copy.deepcopy(one)
            for (of_kind, place, _), one in sorted(self.objects.items())
            if of_kind == kind and namespace in (None, place) and _selected(one, labels or {})
        ]

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
        self._refuse("delete", kind)
        key = (kind, "" if kind in _OF_WHOLE_CLUSTER else namespace or "", name)
        if key not in self.objects:
            return False
        self._delete(key)
        return True

    def log(
        self, pod: str, namespace: str, container: str, *, lines: int | None = None,
        previous: bool = False,
    ) -> bytes:  # fmt: skip
        if ("Pod", namespace, pod) not in self.objects:
            raise Missing(f"no pod {pod}", 404)
        return self.logs.get(pod, b"")

    def offers(self, version: str, kind: str) -> bool:
        return version in self.versions

    def may(self, verb: str, resource: str, namespace: str, group: str = "") -> bool:
        return resource not in self.forbidden

    def server_version(self) -> str:
        return "v1.20.2"

    def close(self) -> None:
        """Nothing is open."""

    # --- what tests ask ------------------------------------------------------------------------

    def named(self, kind: str, namespace: str = "default") -> list[str]:
        """Return the names of a kind, in order."""
        return sorted(name for of, place, name in self.objects if (of, place) == (kind, namespace))

    def uids(self, kind: str) -> set[str]:
        """Return the uids of all objects of a kind."""
        return {one["metadata"]["uid"] for (of, _, _), one in self.objects.items() if of == kind}

    def text_of(self, kinds: Callable[[str], bool]) -> str:
        """Return all objects of these kinds as text, to search it."""
        return json.dumps([one for (kind, _, _), one in self.objects.items() if kinds(kind)])

    # --- the server's own doing ----------------------------------------------------------------

    def _allowed(self, verb: str, wanted: Mapping[str, Any]) -> Key:
        kind, metadata = wanted["kind"], wanted["metadata"]
        self._refuse(verb, kind)
        key = (kind, metadata.get("namespace", ""), metadata["name"])
        if key[1] and ("Namespace", "", key[1]) not in self.objects:
            raise Missing(f"no namespace {key[1]}", 404)
        self.changes.append((verb, key))
        return key

    def _refuse(self, verb: str, kind: str) -> None:
        refusal = self.refused.get((verb, kind))
        if refusal is not None:
            raise refusal

    def _put(self, one: Object) -> Object:
        metadata, number = one["metadata"], next(self._numbers)
        key = (one["kind"], metadata.get("namespace", ""), metadata["name"])
        before = self.objects.get(key)
        metadata.setdefault("uid", f"uid-{number}")
        metadata.setdefault(
            "creationTimestamp", f"2024-01-01T00:{number // 60:02}:{number % 60:02}Z"
        )
        metadata["resourceVersion"] = str(number)
        if before is None or before.get("spec") != one.get("spec"):
            metadata["generation"] = metadata.get("generation", 0) + 1
        if one["kind"] == "Namespace":
            one.setdefault("status", {"phase": "Active"})
        if one["kind"] == "Service":
            self._give_ports(one, number)
        self.objects[key] = one
        if one["kind"] in _WORKLOADS:
            self._run(one)
        return copy.deepcopy(one)

    def _give_ports(self, service: Object, number: int) -> None:
        if service["spec"]["type"] == "NodePort":
            for port in service["spec"]["ports"]:
                port.setdefault("nodePort", _FIRST_NODE_PORT + number)

    def _delete(self, key: Key) -> None:
        one = self.objects.pop(key)
        self.changes.append(("delete", key))
        for other, found in list(self.objects.items()):
            owners = {ref["uid"] for ref in found["metadata"].get("ownerReferences", ())}
            if one["metadata"]["uid"] in owners and other in self.objects:
                self._delete(other)

    def _run(self, workload: Object) -> None:
        """Replace the pods of an older template, and run as many as there shall be."""
        spec, metadata = workload["spec"], workload["metadata"]
        wanted = dict(_pods(workload))
        for key, pod in list(self.objects.items()):
            mine = metadata["uid"] in {o["uid"] for o in pod["metadata"].get("ownerReferences", ())}
            if mine and key[0] == "Pod" and wanted.get(key[2]) != pod["spec"]:
                self._delete(key)
        for name, pod_spec in wanted.items():
            if ("Pod", metadata["namespace"], name) not in self.objects:
                self._put(self._pod(workload, name, pod_spec))
        self._claim_volumes(workload)
        ready = sum(_is_ready(self.objects["Pod", metadata["namespace"], name]) for name in wanted)
        workload["status"] = {
            "observedGeneration": metadata["generation"],
            "replicas": len(wanted),
            "updatedReplicas": len(wanted),
            "currentReplicas": len(wanted),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        spec.setdefault("replicas", 1)

    def _pod(self, workload: Object, name: str, spec: Object) -> Object:
        owner = {"kind": workload["kind"], "uid": workload["metadata"]["uid"]}
        template = workload["spec"]["template"]["metadata"]
        pod = _object("v1", "Pod", name, **copy.deepcopy(template))
        pod["metadata"] |= {
            "namespace": workload["metadata"]["namespace"],
            "ownerReferences": [owner],
        }
        image = spec["containers"][0]["image"]
        return pod | {"spec": spec, "status": copy.deepcopy(self.statuses.get(image, ready(spec)))}

    def _claim_volumes(self, workload: Object) -> None:
        metadata = workload["metadata"]
        for template in workload["spec"].get("volumeClaimTemplates", ()):
            claim = copy.deepcopy(template)
            claim["metadata"]["namespace"] = metadata["namespace"]
            claim["metadata"]["name"] = f"{template['metadata']['name']}-{metadata['name']}-0"
            key = ("PersistentVolumeClaim", metadata["namespace"], claim["metadata"]["name"])
            if key not in self.objects:
                self._put(claim)


def ready(spec: Object) -> Object:
    """Return the status of a pod that serves."""
    running = {"running": {"startedAt": "2024-01-01T00:00:00Z"}}
    well = {"ready": True, "restartCount": 0, "state": running}
    names = sorted(container["name"] for container in spec["containers"])
    return {
        "phase": "Running",
        "podIP": "10.0.0.1",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": name, **well} for name in names],
    }


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _pods(workload: Object) -> Iterator[tuple[str, Object]]:
    for index in range(workload["spec"].get("replicas", 1)):
        yield f"{workload['metadata']['name']}-{index}", workload["spec"]["template"]["spec"]


def _object(version: str, kind: str, name: str, **parts: Any) -> Object:
    metadata = {"name": name}
    metadata |= {key: parts.pop(key) for key in ("labels", "annotations") if key in parts}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def _without_spec(one: Object) -> Object:
    return {key: value for key, value in one.items() if key not in ("spec", "data", "rules")}


def _meant(one: Object) -> Object:
    """Return what was applied, as opposed to what the server adds."""
    meant = {key: value for key, value in copy.deepcopy(one).items() if key != "status"}
    meant["metadata"] = {
        key: one["metadata"].get(key) for key in ("labels", "annotations", "ownerReferences")
    }
    for port in meant.get("spec", {}).get("ports", ()):
        port.pop("nodePort", None)
    return meant


def _selected(one: Object, labels: Mapping[str, str]) -> bool:
    found = one["metadata"].get("labels") or {}
    return all(found.get(key) == value for key, value in labels.items())


def _merged(one: Object, change: Mapping[str, Any]) -> Object:
    result = dict(one)
    for key, value in change.items():
        if isinstance(value, Mapping):
            result[key] = _merged(result.get(key) or {}, value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result
