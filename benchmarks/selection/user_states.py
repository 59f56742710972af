"""Selection states of users in a store of their own, which can be killed and started again."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from clipper.errors import StoreUnavailable
from clipper.selection.policy import Addition, Floor, State
from clipper.store.embedded import StoreListener, server_command
from clipper.store.redis_selection import RedisSelectionStore
from clipper.store.selection import Clamp, FeedbackWrite, Increment, StateKey, StateUpdate

_APP, _GENERATION = "dialects", 1
_START_LIMIT_S = 20.0

_Found = TypeVar("_Found")


class StateKeeper:
    """The embedded server, and what a frontend writes to it and reads of it."""

    def __init__(self, directory: Path) -> None:
        self._socket = directory / "store.sock"
        self._command = server_command(directory, StoreListener(self._socket))
        self._server = self._start()

    def store(
        self,
        number: int,
        floor: Floor | None,
        seed: State,
        added: Mapping[str, Sequence[Addition]],
    ) -> None:
        """Write one label of every user, as feedback does."""
        clamp = None if floor is None else Clamp(floor.kind, floor.depth)
        writes = [
            FeedbackWrite(
                f"{uid} {number}",
                [
                    StateUpdate(
                        StateKey(_APP, _GENERATION, uid),
                        [Increment(a.field, a.amount, a.start) for a in additions],
                        clamp,
                        seed,
                    )
                ],
            )
            for uid, additions in added.items()
        ]
        assert all(self._run(lambda store: store.write_feedback(_APP, _GENERATION, writes)))

    def read(self, uids: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the users' states."""
        keys = [StateKey(_APP, _GENERATION, uid) for uid in uids]
        states = self._run(lambda store: store.read_states(keys))
        return {uid: dict(state.values) for uid, state in zip(uids, states, strict=True)}

    def restart(self) -> None:
        """Kill the server as a power cut would, and start it on the same directory."""
        self._server.kill()
        self._server.wait()
        self._server = self._start()

    def stop(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        server = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        self._run(_answers)
        return server

    def _run(self, use: Callable[[RedisSelectionStore], Awaitable[_Found]]) -> _Found:
        async def run() -> _Found:
            store = RedisSelectionStore(f"unix://{self._socket}", "bench")
            try:
                return await use(store)
            finally:
                await store.close()

        return asyncio.run(run())


async def _answers(store: RedisSelectionStore) -> None:
    """Return once the server answers."""
    async with asyncio.timeout(_START_LIMIT_S):
        while True:
            try:
                await store.read_state_versions([StateKey(_APP, _GENERATION)])
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return
