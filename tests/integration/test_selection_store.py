"""Selection data on a real embedded server: additions, each once, and how long what is kept."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio

from clipper.errors import InvalidRequest, StoreUnavailable
from clipper.store.base import Change
from clipper.store.redis import RedisStore
from clipper.store.redis_selection import RedisSelectionStore, SelectionStoreSettings
from clipper.store.selection import (
    APPLICATION,
    Clamp,
    FeedbackWrite,
    Increment,
    StateKey,
    StateUpdate,
    StoredState,
)
from tests.integration.store_support import APP, always

RECORD = dataclasses.replace(APP, name="app")
APP_STATE = StateKey("app", 1)

Opener = Callable[..., RedisSelectionStore]


@pytest.fixture
async def open_store(store_url: str) -> AsyncIterator[Opener]:
    """Return stores of the cluster ``test`` with the given settings."""
    opened: list[RedisSelectionStore] = []

    def open_one(**settings: object) -> RedisSelectionStore:
        store = RedisSelectionStore(store_url, "test", SelectionStoreSettings(**settings))  # type: ignore[arg-type]
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
def selection(open_store: Opener) -> RedisSelectionStore:
    return open_store()


@pytest.fixture
async def raw(store_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    client = redis.asyncio.Redis.from_url(store_url)
    yield client
    await client.aclose()


def counted(name: str, uid: str = APPLICATION, amount: float = 1.0) -> FeedbackWrite:
    key = APP_STATE._replace(uid=uid)
    return FeedbackWrite(name, [StateUpdate(key, [Increment("count", amount)])])


def added(
    name: str, *increments: Increment, clamp: Clamp | None = None, **seed: float
) -> FeedbackWrite:
    return FeedbackWrite(name, [StateUpdate(APP_STATE, increments, clamp, seed)])


async def state(store: RedisSelectionStore, uid: str = APPLICATION) -> StoredState:
    return (await store.read_states([APP_STATE._replace(uid=uid)]))[0]


async def test_nothing_is_there_at_first(selection: RedisSelectionStore) -> None:
    keys = [APP_STATE, APP_STATE._replace(uid="u")]
    assert await selection.read_states(keys) == [StoredState(0, {})] * 2
    assert await selection.read_state_versions(keys) == [0, 0]
    assert await selection.read_choices("app", [1, 2]) == [None, None]
    assert await selection.read_feedback_log("app", 1, 10) == []
    assert await selection.write_feedback("app", 1, []) == []
    assert await selection.read_states([]) == []


async def test_what_is_written_is_read_back_and_a_key_counts_once(
    selection: RedisSelectionStore, open_store: Opener
) -> None:
    other = open_store()
    write = FeedbackWrite(
        "a",
        [
            StateUpdate(APP_STATE, [Increment("n/ü", 2.5), Increment("w/" + "x" * 300, 1.0, 4.0)]),
            StateUpdate(APP_STATE._replace(uid="ü:1"), [Increment("n", 1)]),
        ],
        b"\x00\xff" * 40_000,
    )
    assert await selection.write_feedback("app", 1, [write, write, counted("b")]) == [
        True,
        False,
        True,
    ]
    assert await other.write_feedback("app", 1, [write, counted("b", amount=9)]) == [False, False]
    assert await other.write_feedback("app", 1, [counted("b"), counted("c")]) == [False, True]
    assert await state(other) == StoredState(3, {"n/ü": 2.5, "w/" + "x" * 300: 5.0, "count": 2.0})
    assert await state(other, "ü:1") == StoredState(1, {"n": 1.0})
    assert await other.read_state_versions([APP_STATE, APP_STATE._replace(uid="ü:1")]) == [3, 1]
    assert await other.read_feedback_log("app", 1, 10) == [b"\x00\xff" * 40_000]


async def test_registrations_and_applications_are_apart(selection: RedisSelectionStore) -> None:
    write = counted("a")
    for app, generation in (("app", 1), ("app", 2), ("other", 3)):
        key = StateKey(app, generation)
        write = FeedbackWrite("a", [StateUpdate(key, [Increment("count", 1.0)])])
        assert await selection.write_feedback(app, generation, [write]) == [True]
        assert (await selection.read_states([key]))[0].values == {"count": 1.0}
    with pytest.raises(ValueError, match="not of application app, 2"):
        await selection.write_feedback("app", 2, [counted("b")])


async def test_a_seed_is_for_a_state_that_is_not_there_yet(selection: RedisSelectionStore) -> None:
    first = added("a", Increment("x", 1.0, 7.0), x=10.0, y=20.0)
    second = added("b", Increment("x", 1.0, 7.0), Increment("z", 1.0, 7.0), x=0.0, y=0.0)
    await selection.write_feedback("app", 1, [first, second])
    assert await state(selection) == StoredState(2, {"x": 12.0, "y": 20.0, "z": 8.0})


async def test_a_clamp_lifts_what_is_too_far_below_the_largest(
    selection: RedisSelectionStore,
) -> None:
    clamp = Clamp("w", 5.0)
    await selection.write_feedback(
        "app",
        1,
        [
            added("a", Increment("w/a", -1.0), Increment("w/b", -9.0), Increment("v/b", -9.0)),
            added("b", Increment("w/c", -3.0), clamp=clamp),
        ],
    )
    assert (await state(selection)).values == {"w/a": -1.0, "w/b": -6.0, "w/c": -3.0, "v/b": -9.0}
    await selection.write_feedback("app", 1, [added("c", Increment("w/a", 100.0), clamp=clamp)])
    assert (await state(selection)).values == {"w/a": 99.0, "w/b": 94.0, "w/c": 94.0, "v/b": -9.0}


async def test_numbers_keep_their_precision_and_their_range(selection: RedisSelectionStore) -> None:
    largest = 1.7976931348623157e308
    numbers = {
        "third": 1 / 3,
        "tiny": 5e-324,
        "large": 2.0**53 - 1,
        "huge": largest,
        "low": -largest,
    }
    await selection.write_feedback(
        "app", 1, [added("a", *(Increment(f, n) for f, n in numbers.items()))]
    )
    assert (await state(selection)).values == numbers
    more = [Increment("huge", largest), Increment("low", -largest), Increment("large", 1.0)]
    await selection.write_feedback("app", 1, [added("b", *more)])
    assert (await state(selection)).values == numbers | {"large": 2.0**53}


async def test_many_small_additions_are_as_exact_as_doubles_are(
    selection: RedisSelectionStore,
) -> None:
    expected = 0.0
    for batch in range(200):
        await selection.write_feedback(
            "app", 1, [counted(f"{batch}-{n}", amount=0.1) for n in range(500)]
        )
    for _ in range(100_000):
        expected += 0.1
    found = await state(selection)
    assert found == StoredState(100_000, {"count": expected})
    assert math.isclose(found.values["count"], 10_000.0, rel_tol=1e-9)


async def test_what_two_stores_write_at_once_sums_exactly(open_store: Opener) -> None:
    stores = [open_store(), open_store()]

    async def write(number: int) -> None:
        names = [f"{number}-{n}" for n in range(20)]
        await stores[number % 2].write_feedback(
            "app", 1, [counted(name, uid=f"u{number % 3}") for name in names]
        )
        await stores[0].write_feedback("app", 1, [counted(name) for name in names])

    await asyncio.gather(*(write(number) for number in range(60)))
    assert [(await state(stores[1], f"u{n}")).version for n in range(3)] == [400, 400, 400]
    assert (await state(stores[1])).version == 0, "every key had been used for a user"


async def test_users_without_feedback_for_longest_are_forgotten(open_store: Opener) -> None:
    store = open_store(max_users=3)
    for number, uid in enumerate(["a", "b", "c", "a", "d", APPLICATION]):
        await store.write_feedback("app", 1, [counted(str(number), uid)])
    versions = {uid: (await state(store, uid)).version for uid in ("a", "b", "c", "d", APPLICATION)}
    assert versions == {"a": 2, "b": 0, "c": 1, "d": 1, APPLICATION: 1}
    await store.write_feedback("app", 1, [counted(f"many{n}", f"many{n}") for n in range(50)])
    kept = [n for n in range(50) if (await state(store, f"many{n}")).version]
    assert kept == [47, 48, 49]


async def test_states_of_users_expire_and_the_applications_stays(
    open_store: Opener, raw: redis.asyncio.Redis
) -> None:
    store = open_store(state_ttl_s=0.05)
    await store.write_feedback("app", 1, [counted("a", "u"), counted("b")])
    async with asyncio.timeout(10):
        while (await state(store, "u")).version:  # noqa: ASYNC110 - the server expires it
            await asyncio.sleep(0.01)
    assert await state(store) == StoredState(1, {"count": 1.0})
    for key in await raw.keys("clipper:test:*"):
        own = key.startswith((b"clipper:test:selection:1:state:", b"clipper:test:selection_gen"))
        assert (await raw.pttl(key) == -1) == own, key


async def test_keys_are_remembered_for_a_window_and_forgotten_after_two(
    open_store: Opener, raw: redis.asyncio.Redis
) -> None:
    store = open_store()
    assert await store.write_feedback("app", 1, [counted("a")]) == [True]
    set_key, before_key = (
        "clipper:test:selection:1:seen:app",
        "clipper:test:selection:1:seen_before:app",
    )
    assert 7_190_000 < await raw.pttl(set_key) <= 7_200_000

    await raw.pexpire(set_key, 3_600_000)  # as after a window
    assert await store.write_feedback("app", 1, [counted("a"), counted("b")]) == [False, True]
    assert await raw.scard(set_key) == await raw.scard(before_key) == 1
    assert await raw.pttl(before_key) <= 3_600_000 < await raw.pttl(set_key)

    await raw.pexpire(set_key, 3_600_000)
    assert await store.write_feedback("app", 1, [counted("a"), counted("b")]) == [True, False]


async def test_the_log_returns_the_newest_oldest_first_and_is_limited(open_store: Opener) -> None:
    store = open_store(log_length=1000)
    for batch in range(10):
        names = [f"{batch * 500 + n}" for n in range(500)]
        await store.write_feedback("app", 1, [FeedbackWrite(n, [], n.encode()) for n in names])
    assert await store.read_feedback_log("app", 1, 3) == [b"4997", b"4998", b"4999"]
    entries = await store.read_feedback_log("app", 1, 1200)
    assert entries == [f"{n}".encode() for n in range(5000 - len(entries), 5000)]
    assert 1000 <= len(await store.read_feedback_log("app", 1, 10_000)) < 1300


async def test_choices_are_found_replaced_and_kept_by_application(
    selection: RedisSelectionStore,
) -> None:
    await selection.write_choices("app", {n: b"%d" % n for n in range(1200)})
    await selection.write_choices("app", {2**53 - 1: b"\x00\xff", 7: b"late"})
    found = await selection.read_choices("app", [2**53 - 1, 5000, *range(1200)])
    assert found[:2] == [b"\x00\xff", None]
    assert found[2:] == [b"late" if n == 7 else b"%d" % n for n in range(1200)]
    assert await selection.read_choices("other", [1]) == [None]
    await selection.write_choices("app", {})


async def test_the_oldest_choices_make_room_for_new_ones(open_store: Opener) -> None:
    store = open_store(max_choices=80)
    for first in range(0, 1000, 5):
        await store.write_choices("app", dict.fromkeys(range(first, first + 5), b"x"))
    found = await store.read_choices("app", range(1000))
    kept = [n for n, record in enumerate(found) if record]
    assert kept == list(range(1000 - len(kept), 1000))
    assert 80 <= len(kept) <= 90


async def test_choices_expire(open_store: Opener, raw: redis.asyncio.Redis) -> None:
    store = open_store(choice_ttl_s=0.08)
    await store.write_choices("app", {1: b"x"})
    async with asyncio.timeout(10):
        while await raw.keys("clipper:test:*"):  # noqa: ASYNC110 - the server expires them
            await asyncio.sleep(0.01)
    await store.write_choices("app", {2: b"y"})
    assert await store.read_choices("app", [1]) == [None]


async def test_a_slice_of_choices_is_filled_for_a_part_of_the_time(
    selection: RedisSelectionStore, raw: redis.asyncio.Redis
) -> None:
    await selection.write_choices("app", {1: b"x"})
    await selection.write_choices("app", {2: b"y"})
    assert await raw.lrange("clipper:test:choice_slices:app", 0, -1) == [b"1"]
    await raw.pexpire("clipper:test:choices:1:app", 3_600_000)
    await selection.write_choices("app", {1: b"newer"})
    assert await raw.lrange("clipper:test:choice_slices:app", 0, -1) == [b"2", b"1"]
    assert await selection.read_choices("app", [1, 2]) == [b"newer", b"y"]


async def test_everything_goes_with_its_application(
    selection: RedisSelectionStore, store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    await store.update(always(Change(applications={"app": RECORD})))  # gets the generation 1
    writes = [FeedbackWrite(f"{n}", counted("", f"u{n}").updates, b"e") for n in range(2500)]
    await selection.write_feedback("app", 1, [counted("a"), *writes])
    await selection.write_choices("app", {1: b"x"})
    other = FeedbackWrite("a", [StateUpdate(StateKey("app2", 9), [Increment("n", 1.0)])])
    await selection.write_feedback("app2", 9, [other])
    await store.update(always(Change(applications={"app": None}, delete_state_of=["app"])))

    left = {key.decode() for key in await raw.keys("clipper:test:*app")}
    assert left == {"clipper:test:selection:1:gone:app"}
    assert not await raw.keys("clipper:test:selection:1:user:*")
    assert (await selection.read_states([StateKey("app2", 9)]))[0].version == 1

    with pytest.raises(InvalidRequest, match="app was deleted or registered again"):
        await selection.write_feedback("app", 1, [counted("late")])
    await store.update(always(Change(applications={"app": RECORD})))
    key = StateKey("app", 2)
    again = FeedbackWrite("a", [StateUpdate(key, [Increment("count", 1.0)])])
    assert await selection.write_feedback("app", 2, [again]) == [True]


async def test_a_registration_that_replaces_another_starts_afresh(
    selection: RedisSelectionStore, store: RedisStore, raw: redis.asyncio.Redis
) -> None:
    register = Change(applications={"app": RECORD}, delete_state_of=["app"])
    await store.update(always(register))
    assert await selection.write_feedback("app", 1, [counted("a"), counted("b", "u")])
    await store.update(always(register))
    key = StateKey("app", 2)
    again = FeedbackWrite("a", [StateUpdate(key, [Increment("count", 1.0)])])
    assert await selection.write_feedback("app", 2, [again]) == [True]
    assert await selection.read_state_versions([APP_STATE, key]) == [0, 1]
    assert not await raw.keys("clipper:test:selection:1:user*")
    assert await raw.smembers("clipper:test:selection_generations:app") == {b"2"}


async def test_what_a_deletion_left_behind_goes_with_the_next(
    selection: RedisSelectionStore,
    store: RedisStore,
    raw: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delete = Change(applications={"app": None}, delete_state_of=["app"])
    await selection.write_feedback("app", 1, [counted("b", "u")])
    with monkeypatch.context() as patch:
        patch.setattr(store, "_delete_users", lambda app: asyncio.sleep(0))  # died before it
        await store.update(always(delete))
    assert await raw.pttl("clipper:test:selection:1:user:app:u") > 0
    assert await raw.pttl("clipper:test:selection:1:users:app") > 0
    await store.update(always(delete))
    assert await raw.keys("clipper:test:*app*") == [b"clipper:test:selection:1:gone:app"]


async def test_a_state_that_cannot_be_read_is_named(
    selection: RedisSelectionStore, raw: redis.asyncio.Redis
) -> None:
    await raw.hset("clipper:test:selection:1:state:app", "x", "many")
    with pytest.raises(StoreUnavailable, match="selection:1:state:app cannot be read"):
        await state(selection)
