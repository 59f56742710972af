"""Selection states as this worker knows them (design decision 15).

The state of every application that has a policy is here, a fraction of a second behind the store's
at most; states of users are read when they are first needed and kept in a bounded table, a little
longer. What this worker's own feedback adds is seen by its next query.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence

from clipper.clock import Clock
from clipper.errors import StoreUnavailable
from clipper.query.applications import Application
from clipper.selection.policy import Addition, State
from clipper.selection.state import apply
from clipper.store.selection import APPLICATION, SelectionStore, StateKey

log = logging.getLogger(__name__)

_Then = Callable[[State], None]


@dataclasses.dataclass(frozen=True, slots=True)
class StateSettings:
    """How far behind the store a worker may be, and how much it keeps."""

    refresh_s: float = 0.25
    """Applications' states are compared with the store's so often."""
    user_staleness_s: float = 1.0
    """A user's state older than this is used once more and read again."""
    user_expiry_s: float = 10.0
    """A user's state older than this is read before it is used."""
    max_users: int = 10_000
    """Users whose states are kept; the longest unused go first."""
    wait_share: float = 0.25
    """Part of the latency objective that a query waits for its user's state."""


class _Entry:
    __slots__ = ("calibrated", "read_s", "reading", "values", "version")

    def __init__(self, values: dict[str, float], version: int, read_s: float) -> None:
        self.calibrated: Application | None = None
        """Who has taken from these values what they tell of confidences; nobody: they changed."""
        self.values = values
        self.version = version
        self.read_s = read_s
        self.reading = False


class SelectionStates:
    """The states that this worker's queries choose by. Belongs to the event loop's thread."""

    def __init__(
        self,
        clock: Clock,
        store: SelectionStore,
        with_policy: Callable[[], Sequence[Application]],
        settings: StateSettings | None = None,
    ) -> None:
        """``with_policy`` returns the applications whose states are to be kept up to date."""
        self._clock = clock
        self._store = store
        self._with_policy = with_policy
        self._settings = settings or StateSettings()
        self._applications: dict[int, _Entry] = {}
        self._users: OrderedDict[tuple[int, str], _Entry] = OrderedDict()
        self._waiting: dict[tuple[int, str], list[_Then]] = {}
        self._away_until_s = -math.inf
        """The store did not answer; until then nobody waits for it."""
        self._tasks: set[asyncio.Task[None]] = set()

    def of_application(self, application: Application) -> State:
        """Return the application's own state; empty while the store was never read."""
        entry = self._applications.get(application.record.generation)
        return {} if entry is None else entry.values

    def get(self, application: Application, uid: str) -> State | None:
        """Return the state for a user's queries; None when it has to be read first.

        A user who has none yet gets what the policy makes of the application's.
        """
        if uid == APPLICATION:
            return self.of_application(application)
        key = (application.record.generation, uid)
        entry = self._users.get(key)
        if entry is None:
            away = self._clock.now() < self._away_until_s
            return self._for_user(application, None) if away else None
        self._users.move_to_end(key)
        age_s = self._clock.now() - entry.read_s
        if age_s > self._settings.user_expiry_s and self._clock.now() >= self._away_until_s:
            return None
        if age_s > self._settings.user_staleness_s and not entry.reading:
            entry.reading = True
            self._start(self._read_user(application, uid))
        return self._for_user(application, entry)

    def load(self, application: Application, uid: str, then: _Then) -> None:
        """Call ``then`` with a user's state, once it is here or waiting would cost too much."""
        key = (application.record.generation, uid)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(then)
            return
        self._waiting[key] = [then]
        self._start(self._read_user(application, uid))
        self._clock.call_later(
            application.slo_s * self._settings.wait_share, lambda: self._release(application, uid)
        )

    def learned(self, application: Application, uid: str, additions: Sequence[Addition]) -> None:
        """Take what feedback that this worker stored has added."""
        if uid == APPLICATION:
            entry = self._applications.get(application.record.generation)
        else:
            entry = self._users.get((application.record.generation, uid))
        if entry is None:
            return
        if uid != APPLICATION and not entry.version:
            entry.values = dict(self._for_user(application, entry))
        entry.values = apply(entry.values, additions, application.policy.floor)
        entry.version += 1
        entry.calibrated = None

    async def read_applications(self) -> None:
        """Bring the states of all applications up to date.

        Raises:
            StoreUnavailable: they stay as they are.
        """
        applications = self._with_policy()
        for application in applications:
            known = self._applications.get(application.record.generation)
            # After this worker's own feedback, or a change of the application's settings.
            if known is not None and known.calibrated is not application:
                _calibrate(application, known)
        keys = [StateKey(a.name, a.record.generation) for a in applications]
        versions = await self._store.read_state_versions(keys) if keys else []
        stale = [
            (application, key)
            for application, key, version in zip(applications, keys, versions, strict=True)
            if (entry := self._applications.get(key.generation)) is None or entry.version != version
        ]
        states = await self._store.read_states([key for _, key in stale]) if stale else []
        for (application, key), stored in zip(stale, states, strict=True):
            entry = _Entry(dict(stored.values), stored.version, self._clock.now())
            self._applications[key.generation] = entry
            _calibrate(application, entry)
        alive = {key.generation for key in keys}
        for generation in self._applications.keys() - alive:
            del self._applications[generation]

    async def follow(self) -> None:
        """Keep the applications' states up to date until cancelled."""
        away = False
        while True:
            await asyncio.sleep(self._settings.refresh_s)
            try:
                await self.read_applications()
                away = False
            except StoreUnavailable as error:
                if not away:
                    log.warning("selection states are not refreshed: %s", error)
                away = True

    def _for_user(self, application: Application, entry: _Entry | None) -> State:
        if entry is not None and entry.version:
            return entry.values
        return application.policy.seed(self.of_application(application))

    def _start(self, reading: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(reading)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_user(self, application: Application, uid: str) -> None:
        key = (application.record.generation, uid)
        try:
            [stored] = await self._store.read_states([StateKey(application.name, *key)])
        except StoreUnavailable:
            self._away_until_s = self._clock.now() + self._settings.user_staleness_s
            entry = self._users.get(key)
            if entry is not None:
                entry.reading = False
                entry.read_s = self._clock.now()
        else:
            self._users[key] = _Entry(dict(stored.values), stored.version, self._clock.now())
            self._users.move_to_end(key)
            if len(self._users) > self._settings.max_users:
                self._users.popitem(last=False)
        self._release(application, uid)

    def _release(self, application: Application, uid: str) -> None:
        """Let those go on that wait for a user's state, with what there is."""
        key = (application.record.generation, uid)
        state = self._for_user(application, self._users.get(key))
        for then in self._waiting.pop(key, ()):
            then(state)


def _calibrate(application: Application, entry: _Entry) -> None:
    application.calibrate(entry.values)
    entry.calibrated = application
