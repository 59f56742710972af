"""Letting one client at a time do a thing, wherever the clients are: a Lease that is renewed.

A client that dies stops renewing, and blocks others for half a minute at most. Clocks of two
machines are never compared to decide that a lease is dead: who finds an old one watches it.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.pods import named_object
from clipper.managers.kubernetes.settings import KubernetesSettings

_VERSION, _KIND = "coordination.k8s.io/v1", "Lease"
_RENEWAL_S = 3.0
_DURATION_S = 15
_WATCHED_S = 2 * _RENEWAL_S + 1
_PAUSE_S = 0.5

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def claim(api: KubernetesApi, settings: KubernetesSettings, name: str) -> Iterator[bool]:
    """Claim what the name stands for; yield whether nobody else has. It ends with the block.

    Raises:
        ClipperException: the API server refused.
    """
    holder = uuid.uuid4().hex
    wanted = _lease(settings, name, holder)
    lease = api.create(wanted) or _take_over(api, wanted)
    if lease is None:
        yield False
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(api, lease, ended), daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        api.delete(_VERSION, _KIND, name, settings.namespace)


def _lease(settings: KubernetesSettings, name: str, holder: str) -> Object:
    lease = named_object(
        _VERSION, _KIND, name, settings,
        spec={
            "holderIdentity": holder,
            "leaseDurationSeconds": _DURATION_S,
            "renewTime": _now(),
        },
    )  # fmt: skip
    lease["metadata"]["labels"] = names.labels(settings.cluster_name)
    return lease


def _take_over(api: KubernetesApi, wanted: Object) -> Object | None:
    """Return the lease if its holder has died; None: the holder lives."""
    name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    first = api.get(_VERSION, _KIND, name, namespace)
    if first is None:
        return api.create(wanted)
    if _looks_alive(first):
        return None
    give_up_at = time.monotonic() + _WATCHED_S
    while time.monotonic() < give_up_at:
        time.sleep(_PAUSE_S)
        now = api.get(_VERSION, _KIND, name, namespace)
        if now is None:
            return api.create(wanted)
        if now["spec"].get("renewTime") != first["spec"].get("renewTime"):
            return None
    first["spec"] = wanted["spec"] | {"renewTime": _now()}
    return api.replace(first)


def _looks_alive(lease: Object) -> bool:
    renewed = lease["spec"].get("renewTime")
    if not renewed:
        return False
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(renewed)
    return age.total_seconds() < _DURATION_S


def _renew(api: KubernetesApi, lease: Object, ended: threading.Event) -> None:
    metadata: dict[str, Any] = lease["metadata"]
    while not ended.wait(_RENEWAL_S):
        try:
            change = {"spec": {"renewTime": _now()}}
            api.patch(_VERSION, _KIND, metadata["name"], metadata["namespace"], change)
        except ClipperException as error:
            _log.warning("the claim %s is not renewed: %s", metadata["name"], error)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
