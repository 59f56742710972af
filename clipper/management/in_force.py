"""A write is answered when every living frontend worker has applied it (design decision 12)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

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
) -> None:
    """Return when all live leases show at least ``revision``; at once when there are none.

    A worker whose lease expires meanwhile no longer counts, one that appears does.

    Raises:
        NotInForce: the deadline passed; the text names the laggards. The change stays stored.
    """
    give_up_at = clock() + settings.in_force_timeout_s
    pause_s = settings.first_poll_s
    while True:
        late = await _who_is_late(store, revision)
        if not late:
            return
        if clock() >= give_up_at:
            raise NotInForce(
                f"The change IS stored, as revision {revision}, but after "
                f"{settings.in_force_timeout_s} s it is not in force everywhere: {late}. It takes "
                "effect there as soon as the worker catches up; see /admin/get_workers and the "
                "worker's log. Do not repeat the call."
            )
        await sleep(pause_s)
        pause_s = min(pause_s * _GROWTH, settings.max_poll_s)


async def _who_is_late(store: ConfigStore, revision: int) -> str:
    """Describe the laggards; empty when there are none."""
    try:
        late = laggards(await store.read_leases(), revision)
    except StoreUnavailable as error:
        return f"the frontends could not be asked ({error})"
    return ", ".join(
        f"worker {lease.worker_id} at {lease.rpc_address} has applied revision "
        f"{lease.applied_revision}"
        for lease in late
    )
