"""What a local cluster's store holds of an application's selection."""

from __future__ import annotations

import asyncio

from clipper.managers.local_state import StateDir
from clipper.selection.ledger import open_book
from clipper.store.redis import RedisStore
from clipper.store.redis_selection import RedisSelectionStore
from clipper.store.selection import APPLICATION, StateKey, StoredState
from tests.e2e.clusters import Cluster


def stored_state(cluster: Cluster, app: str, uid: str = APPLICATION) -> StoredState:
    """Return the state of an application, or of one of its users, as it is on disk."""
    return asyncio.run(_stored_state(cluster, app, uid))


def stored_book(cluster: Cluster, app: str, policy: str) -> dict[str, float]:
    """Return what the store has of the doings of one of an application's policies."""
    return open_book(stored_state(cluster, app).values, policy)


def stored_log(cluster: Cluster, app: str, count: int) -> list[bytes]:
    """Return the newest entries of an application's log of feedback."""
    return asyncio.run(_stored_log(cluster, app, count))


async def _stored_state(cluster: Cluster, app: str, uid: str) -> StoredState:
    generation = await _generation(cluster, app)
    store = RedisSelectionStore(_url(cluster), cluster.manager.cluster_name)
    try:
        [state] = await store.read_states([StateKey(app, generation, uid)])
        return state
    finally:
        await store.close()


async def _stored_log(cluster: Cluster, app: str, count: int) -> list[bytes]:
    generation = await _generation(cluster, app)
    store = RedisSelectionStore(_url(cluster), cluster.manager.cluster_name)
    try:
        return await store.read_feedback_log(app, generation, count)
    finally:
        await store.close()


async def _generation(cluster: Cluster, app: str) -> int:
    store = RedisStore(_url(cluster), cluster.manager.cluster_name)
    try:
        return (await store.read_snapshot()).applications[app].generation
    finally:
        await store.close()


def _url(cluster: Cluster) -> str:
    state: StateDir = cluster.manager._state
    return f"unix://{state.store_socket}"
