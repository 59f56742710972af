"""Letting one client at a time do a thing, wherever the clients are: a lease that is renewed.

It is a ConfigMap: the Lease of Kubernetes would say the same, but the roles ``admin`` and ``edit``
give no right on those. A client that dies stops renewing, and blocks others for half a minute at
most. Clocks of two machines are never compared to decide that a lease is dead: who finds an old
one watches it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator

from clipper.errors import ClipperException
from clipper.managers.kubernetes import names
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.pods import named_object
from clipper.managers.kubernetes.settings import KubernetesSettings

_VERSION, _KIND = "v1", "ConfigMap"
_HOLDER, _RENEWED = "holder", "renewed"
_RENEWAL_S = 3.0
_DURATION_S = 15
_WATCHED_S = 2 * _RENEWAL_S + 1
_PAUSE_S = 0.5

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """How time is told and waited for."""

    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC)
    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@contextlib.contextmanager
def claim(
    api: KubernetesApi,
    settings: KubernetesSettings,
    name: str,
    clock: Clock = Clock(),
) -> Iterator[bool]:
    """Claim what the name stands for; yield whether nobody else has. It ends with the block.

    Raises:
        ClipperException: the API server refused.
    """
    wanted = _lease(settings, name, uuid.uuid4().hex, clock)
    lease = api.create(wanted) or _take_over(api, wanted, clock)
    if lease is None:
        yield False
        return
    ended = threading.Event()
    renewal = threading.Thread(target=_keep, args=(api, lease, ended, clock), daemon=True)
    renewal.start()
    try:
        yield True
    finally:
        ended.set()
        renewal.join()
        _release(api, lease)


def _lease(settings: KubernetesSettings, name: str, holder: str, clock: Clock) -> Object:
    return named_object(
        _VERSION, _KIND, name, settings, names.CLAIM,
        data={_HOLDER: holder, _RENEWED: _text(clock.now())},
    )  # fmt: skip


def _take_over(api: KubernetesApi, wanted: Object, clock: Clock) -> Object | None:
    """Return the lease if its holder has died; None: the holder lives."""
    first = _present(api, wanted)
    if first is None:
        return api.create(wanted)
    if _looks_alive(first, clock.now()):
        return None
    give_up_at = clock.monotonic_s() + _WATCHED_S
    while clock.monotonic_s() < give_up_at:
        clock.sleep(_PAUSE_S)
        now = _present(api, wanted)
        if now is None:
            return api.create(wanted)
        if _data(now).get(_RENEWED) != _data(first).get(_RENEWED):
            return None
    first["data"] = wanted["data"] | {_RENEWED: _text(clock.now())}
    return api.replace(first)


def _looks_alive(lease: Object, now: datetime.datetime) -> bool:
    """Return whether it was renewed a moment ago, or is about to be: clocks differ."""
    try:
        age = now - datetime.datetime.fromisoformat(_data(lease)[_RENEWED])
    except (KeyError, ValueError, TypeError):
        return False
    return abs(age.total_seconds()) < _DURATION_S


def _keep(api: KubernetesApi, lease: Object, ended: threading.Event, clock: Clock) -> None:
    while not ended.wait(_RENEWAL_S):
        try:
            if not renew(api, lease, clock):
                _log.warning("the claim %s is another client's now", lease["metadata"]["name"])
                return
        except ClipperException as error:
            _log.warning("the claim %s is not renewed: %s", lease["metadata"]["name"], error)


def renew(api: KubernetesApi, lease: Object, clock: Clock) -> bool:
    """Show that the holder lives; return whether the lease is still theirs.

    Raises:
        ClipperException: the API server does not answer, or refused.
    """
    now = _present(api, lease)
    if now is None or _holder(now) != _holder(lease):
        return False
    now["data"][_RENEWED] = _text(clock.now())
    return api.replace(now) is not None


def _release(api: KubernetesApi, lease: Object) -> None:
    """Delete the lease, unless it is another's by now; one that is left ends by itself."""
    metadata = lease["metadata"]
    try:
        now = _present(api, lease)
        if now is not None and _holder(now) == _holder(lease):
            api.delete(_VERSION, _KIND, metadata["name"], metadata["namespace"])
    except ClipperException as error:
        _log.warning("the claim %s is not given back: %s", metadata["name"], error)


def _present(api: KubernetesApi, lease: Object) -> Object | None:
    metadata = lease["metadata"]
    return api.get(_VERSION, _KIND, metadata["name"], metadata["namespace"])


def _holder(lease: Object) -> str | None:
    return _data(lease).get(_HOLDER)


def _data(lease: Object) -> dict[str, str]:
    return lease.get("data") or {}


def _text(moment: datetime.datetime) -> str:
    return moment.isoformat(timespec="microseconds")
