"""What a worker knows of selection states, and how old that may be."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from clipper.errors import StoreUnavailable
from clipper.query.applications import Application
from clipper.query.selection_states import SelectionStates, StateSettings
from clipper.selection.calibration import observations
from clipper.selection.ledger import enter
from clipper.selection.policy import Addition, State
from clipper.selection.state import apply
from clipper.store.selection import StateKey, StoredState

from .support import Bench

SETTINGS = StateSettings(user_staleness_s=1.0, user_expiry_s=10.0, max_users=3)


class Watched:
    """The states of one application, and what the store has of them."""

    def __init__(self, policy: str = "epsilon-greedy", **app: object) -> None:
        self.bench = Bench()
        self.bench.configure([self.bench.app_record(policy=policy, **app)])
        self.states = SelectionStates(
            self.bench.clock,
            self.bench.selection_store,
            self.bench.applications.with_policy,
            SETTINGS,
        )

    @property
    def app(self) -> Application:
        application = self.bench.applications.get("app")
        assert application is not None
        return application

    def change(self, slo_ms: float = 100.0, **fields: object) -> None:
        """Change settings of the application, as an update does."""
        slo_micros = round(slo_ms * 1000)
        record = dataclasses.replace(self.app.record, latency_slo_micros=slo_micros, **fields)  # type: ignore[arg-type]
        self.bench.configure([record])

    def store(self, uid: str, version: int, **values: float) -> None:
        key = StateKey("app", self.app.record.generation, uid)
        self.bench.selection_store.states[key] = StoredState(version, values)

    async def load(self, uid: str) -> State:
        """Return a user's state as a query gets it that has to wait for it."""
        got: list[State] = []
        self.states.load(self.app, uid, got.append)
        await settle()
        [state] = got
        return state


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_user_is_read_once_and_then_known() -> None:
    watched = Watched()
    watched.store("ann", 1, x=1.0)
    assert watched.states.get(watched.app, "ann") is None

    assert await watched.load("ann") == {"x": 1.0}
    reads = watched.bench.selection_store.state_reads
    assert watched.states.get(watched.app, "ann") == {"x": 1.0}
    await settle()
    assert watched.bench.selection_store.state_reads == reads


async def test_an_old_state_is_used_once_more_and_read_again() -> None:
    watched = Watched()
    watched.store("ann", 1, x=1.0)
    await watched.load("ann")
    watched.store("ann", 2, x=2.0)
    watched.bench.clock.advance(1.5)

    assert watched.states.get(watched.app, "ann") == {"x": 1.0}
    await settle()
    assert watched.states.get(watched.app, "ann") == {"x": 2.0}


async def test_a_state_that_is_too_old_is_read_before_it_is_used() -> None:
    watched = Watched()
    watched.store("ann", 1, x=1.0)
    await watched.load("ann")
    watched.store("ann", 2, x=2.0)
    watched.bench.clock.advance(11.0)

    assert watched.states.get(watched.app, "ann") is None
    assert await watched.load("ann") == {"x": 2.0}


async def test_without_the_store_what_is_known_stays_in_use() -> None:
    watched = Watched()
    watched.store("ann", 1, x=1.0)
    await watched.load("ann")
    watched.bench.selection_store.up = False
    watched.bench.clock.advance(11.0)

    assert await watched.load("ann") == {"x": 1.0}
    assert watched.states.get(watched.app, "ann") == {"x": 1.0}, "nobody waits for it again"


async def test_queries_of_one_user_wait_for_one_read() -> None:
    watched = Watched()
    watched.bench.selection_store.open.clear()
    got: list[State] = []
    for _ in range(3):
        watched.states.load(watched.app, "ann", got.append)
    await settle()
    assert (got, watched.bench.selection_store.state_reads) == ([], 1)

    watched.bench.selection_store.open.set()
    await settle()
    assert len(got) == 3


async def test_the_users_that_were_not_seen_for_longest_are_forgotten() -> None:
    watched = Watched()
    for uid in ("a", "b", "c"):
        await watched.load(uid)
    watched.states.get(watched.app, "a")
    await watched.load("d")

    known = {uid: watched.states.get(watched.app, uid) is not None for uid in "abcd"}
    assert known == {"a": True, "b": False, "c": True, "d": True}


async def test_own_feedback_is_seen_at_once_and_that_of_others_after_a_refresh() -> None:
    watched = Watched()
    await watched.states.read_applications()
    watched.states.learned(watched.app, "", [Addition("x", 1.0)])
    assert watched.states.of_application(watched.app) == {"x": 1.0}

    watched.store("", 2, x=5.0)
    await watched.states.read_applications()
    assert watched.states.of_application(watched.app) == {"x": 5.0}


async def test_only_what_has_changed_is_read_again() -> None:
    watched = Watched()
    watched.store("", 1, x=1.0)
    await watched.states.read_applications()
    reads = watched.bench.selection_store.state_reads
    await watched.states.read_applications()

    assert watched.bench.selection_store.state_reads == reads + 1, "the versions alone"


def labelled(sure: float, right: int, wrong: int, policy: str) -> list[Addition]:
    answers = [True] * right + [False] * wrong
    return [one for answer in answers for one in enter(policy, observations(sure, answer))]


async def test_own_feedback_calibrates_with_the_next_refresh() -> None:
    watched = Watched("ensemble", calibration="isotonic")
    await watched.states.read_applications()
    assert watched.app.calibrated(0.9) == 0.9
    watched.states.learned(watched.app, "", labelled(0.9, 50, 50, "ensemble"))
    watched.store("", 1, **watched.states.of_application(watched.app))
    reads = watched.bench.selection_store.state_reads
    await watched.states.read_applications()

    assert watched.bench.selection_store.state_reads == reads + 1, "the versions alone"
    assert watched.app.calibrated(0.9) == 0.5


async def test_an_application_whose_settings_change_is_calibrated_at_once() -> None:
    watched = Watched("ensemble", calibration="isotonic")
    values = apply({}, labelled(0.9, 50, 50, "ensemble"), None)
    watched.store("", 1, **values)
    await watched.states.read_applications()
    before = watched.app
    watched.bench.selection_store.up = False
    watched.change(slo_ms=50.0)
    with pytest.raises(StoreUnavailable):
        await watched.states.read_applications()

    assert watched.app is not before
    assert watched.app.calibrated(0.9) == 0.5
    assert watched.states.of_application(watched.app) == values


async def test_another_policys_confidences_calibrate_nothing() -> None:
    watched = Watched("ensemble", calibration="isotonic")
    watched.store("", 1, **apply({}, labelled(0.9, 50, 50, "ensemble"), None))
    await watched.states.read_applications()
    watched.change(policy="cascade")
    await watched.states.read_applications()
    assert watched.app.calibrated(0.9) == 0.9

    watched.change(policy="ensemble")
    await watched.states.read_applications()
    assert watched.app.calibrated(0.9) == 0.5, "what was known of it is known still"


async def test_a_new_registration_knows_nothing_of_the_one_before() -> None:
    watched = Watched()
    watched.store("", 1, x=1.0)
    await watched.states.read_applications()
    watched.bench.configure([watched.bench.app_record(policy="exp3")])
    await watched.states.read_applications()

    assert watched.states.of_application(watched.app) == {}


async def test_a_new_user_starts_from_what_the_policy_makes_of_the_applications_state() -> None:
    watched = Watched()
    watched.store("", 9, **{"n/a": 1000.0, "loss/a": 500.0})
    await watched.states.read_applications()

    state = await watched.load("new")
    assert state["loss/a"] / state["n/a"] == 0.5
    assert state["n/a"] < 100, "the user's own feedback has to outweigh it"
