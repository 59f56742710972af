"""A write is answered when every living frontend worker has applied it (design decision 12)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

from clipper.errors import NotInForce, StoreUnavailable
from clipper.management.settings import ManagementSettings
from clipper.store.base import ConfigStore, WorkerLease

_GROWTH = 1.5


def laggards(leases: Sequence[WorkerLease], revision: int) -> list[WorkerLease]:
    """Return the workers that have not applied ``revision`` yet."""
    return [lease for lease in leases if lease.applied_revision < revision]


async def wait_until_in_force(
    store: ConfigStore,
    revision: int,
    settings: ManagementSettings,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    expected: Collection[str] = (),
) -> frozenset[str]:
    """Return the live workers when they all show at least ``revision``.

    A worker whose lease expires meanwhile no longer counts, one that appears does. When there are
    none at first, a store that was away has let their leases expire: those expected get until the
    deadline to renew them.

    Args:
        expected: ids of the workers that lived when this was last asked.

    Raises:
        NotInForce: the deadline passed; the text names the laggards. The change stays stored.
    """
    give_up_at = clock() + settings.in_force_timeout_s
    pause_s = settings.first_poll_s
    awaited: frozenset[str] | None = None  # known from the first look that succeeds
    while True:
        alive, late = await _look(store, revision)
        if awaited is None and alive is not None:
            awaited = frozenset() if alive else frozenset(expected)
        expired = clock() >= give_up_at
        if alive is not None and not late and (expired or awaited is None or awaited <= alive):
            return alive
        if expired:
            raise NotInForce(
                f"The change IS stored, as revision {revision}, but after "
                f"{settings.in_force_timeout_s} s it is not in force everywhere: {late}. It takes "
                "effect there as soon as the worker catches up; see /admin/get_workers and the "
                "worker's log. Do not repeat the call."
            )
        await sleep(pause_s)
        pause_s = min(pause_s * _GROWTH, settings.max_poll_s)


async def _look(store: ConfigStore, revision: int) -> tuple[frozenset[str] | None, str]:
    """Return who lives, None if that is unknown, and a description of the laggards, if any."""
    try:
        leases = await store.read_leases()
    except StoreUnavailable as error:
        return None, f"the frontends could not be asked ({error})"
    late = ", ".join(
        f"worker {lease.worker_id} at {lease.rpc_address} has applied revision "
        f"{lease.applied_revision}"
        for lease in laggards(leases, revision)
    )
    return frozenset(lease.worker_id for lease in leases), late
