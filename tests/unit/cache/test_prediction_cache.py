"""The prediction cache: CLOCK in bytes, keys counted, computations in flight joined (spec §6)."""

from __future__ import annotations

import gc

import pytest

from clipper.cache.prediction_cache import (
    ENTRY_OVERHEAD_BYTES,
    MOST_SPARED,
    CacheShelf,
    PredictionCache,
    entry_size_bytes,
)
from clipper.outputs import Output

GENERATION = 3


def shelf(
    cache: PredictionCache[str], generation: int = GENERATION, application: str = ""
) -> CacheShelf[str]:
    return cache.shelf(generation, application)


def output(text: str) -> Output:
    """An output that is JSON, so that its text is counted once."""
    return Output(text.encode(), text.encode())


def json_of(size_bytes: int) -> Output:
    text = b"1" * size_bytes
    return Output(text, text)


def put(cache: PredictionCache[str], name: str, size_bytes: int = 1) -> None:
    shelf(cache).begin(name.encode(), name)
    shelf(cache).complete(name.encode(), name, json_of(size_bytes))


def present(cache: PredictionCache[str]) -> set[str]:
    """Return what is retained, without marking it used."""
    return {entry.input.decode() for entry in cache._ring}


ENTRY = ENTRY_OVERHEAD_BYTES + 2
"""Size of an entry of a one-byte key and a one-byte output."""


def test_a_fifth_output_evicts_exactly_the_oldest_of_four() -> None:
    cache: PredictionCache[str] = PredictionCache(4 * ENTRY)
    for name in "abcd":
        put(cache, name)
    assert cache.size_bytes == cache.capacity_bytes

    put(cache, "e")

    assert present(cache) == set("bcde")
    assert cache.evictions == 1
    assert shelf(cache).get(b"a") is None


def test_what_was_used_since_the_hand_passed_survives() -> None:
    cache: PredictionCache[str] = PredictionCache(4 * ENTRY)
    for name in "abcde":
        put(cache, name)
    shelf(cache).get(b"b")

    put(cache, "f")

    assert present(cache) == set("bdef")


def test_an_entry_earns_its_second_turn_by_being_used() -> None:
    cache: PredictionCache[str] = PredictionCache(4 * ENTRY)
    for name in "abcd":
        put(cache, name)
    for name in "ab":
        shelf(cache).get(name.encode())

    for name in "ef":
        put(cache, name)
    assert present(cache) == set("abef")

    for name in "gh":
        put(cache, name)
    assert present(cache) == set("efgh"), "one use, one turn"


def test_one_eviction_passes_over_few_entries_when_all_are_in_use() -> None:
    count = 10 * MOST_SPARED
    cache: PredictionCache[str] = PredictionCache(count * ENTRY_OVERHEAD_BYTES + 8 * count)
    names = [f"{number:07d}" for number in range(count)]
    for name in names:
        put(cache, name)
        shelf(cache).get(name.encode())

    put(cache, "another")

    assert present(cache) == {*names, "another"} - {names[MOST_SPARED]}
    assert sum(not entry.used for entry in cache._ring) == MOST_SPARED + 1


def test_entries_of_different_sizes_leave_in_the_order_of_the_clock() -> None:
    large, small = ENTRY_OVERHEAD_BYTES + 1 + 800, ENTRY_OVERHEAD_BYTES + 1 + 0
    cache: PredictionCache[str] = PredictionCache(2 * large + 3 * small)
    for name, size in [("A", 800), ("B", 800), ("c", 0), ("d", 0), ("e", 0)]:
        put(cache, name, size)
    assert cache.size_bytes == cache.capacity_bytes

    put(cache, "f", 0)
    assert present(cache) == set("Bcdef"), "the first large one leaves"
    put(cache, "g", 0)
    assert present(cache) == set("Bcdefg"), "into the room it left"
    put(cache, "h", 0)
    assert present(cache) == set("cdefgh"), "then the second large one"
    put(cache, "I", 800)
    assert present(cache) == set("defghI"), "a large one takes what it needs and no more"


@pytest.mark.parametrize("capacity_bytes", [0, ENTRY - 1])
def test_an_output_that_does_not_fit_is_not_retained_and_evicts_nobody(
    capacity_bytes: int,
) -> None:
    cache: PredictionCache[str] = PredictionCache(capacity_bytes)
    put(cache, "a")

    assert shelf(cache).get(b"a") is None
    assert cache.size_bytes == cache.evictions == cache.in_flight == len(cache) == 0


def test_an_output_larger_than_the_cache_leaves_the_others_alone() -> None:
    cache: PredictionCache[str] = PredictionCache(2 * ENTRY)
    put(cache, "a")
    put(cache, "b", 10_000)

    assert present(cache) == {"a"}


def test_inputs_are_counted() -> None:
    long_input = b"k" * 5000
    assert entry_size_bytes(long_input, json_of(1)) == ENTRY_OVERHEAD_BYTES + 5001

    cache: PredictionCache[str] = PredictionCache(4000)
    shelf(cache).complete(long_input, "leader", json_of(1))
    assert len(cache) == 0


def test_an_output_that_is_not_json_is_counted_in_both_forms() -> None:
    assert entry_size_bytes(b"a", Output(b"ab", b'"ab"')) == ENTRY_OVERHEAD_BYTES + 1 + 2 + 4


def test_a_negative_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        PredictionCache(-1)


def test_a_computation_in_flight_is_known_until_it_completes() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    shelf(cache).begin(b"a", "leader")
    assert shelf(cache).leader(b"a") == "leader"
    assert shelf(cache).get(b"a") is None
    assert cache.size_bytes == 0
    put(cache, "unrelated")
    assert shelf(cache).leader(b"a") == "leader"

    shelf(cache).complete(b"a", "leader", output("1"))

    assert shelf(cache).leader(b"a") is None
    assert shelf(cache).get(b"a") == output("1")


def test_only_the_leader_itself_can_abandon_its_computation() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    shelf(cache).begin(b"a", "first")
    shelf(cache).abandon(b"a", "first")
    assert cache.in_flight == 0
    shelf(cache).begin(b"a", "second")

    shelf(cache).abandon(b"a", "first")
    shelf(cache).complete(b"a", "first", output("1"))

    assert shelf(cache).leader(b"a") == "second"
    assert shelf(cache).get(b"a") == output("1")


def test_computations_in_flight_are_never_evicted_and_take_no_room() -> None:
    cache: PredictionCache[str] = PredictionCache(ENTRY)
    for number in range(100):
        shelf(cache).begin(f"flying{number}".encode(), "leader")
    for name in "abc":
        put(cache, name)

    assert cache.in_flight == 100
    assert present(cache) == {"c"}


def test_a_second_output_replaces_the_first_and_its_size() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    put(cache, "a", 1)
    put(cache, "a", 100)

    assert shelf(cache).get(b"a") == json_of(100)
    assert cache.size_bytes == ENTRY + 99


def test_registrations_and_isolated_applications_do_not_share() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    shelf(cache, 1).complete(b"a", "leader", output("1"))
    shelf(cache, 2).complete(b"a", "leader", output("2"))
    shelf(cache, 2, "app").complete(b"a", "leader", output("3"))

    assert shelf(cache, 1).get(b"a") == output("1")
    assert shelf(cache, 2).get(b"a") == output("2")
    assert shelf(cache, 2, "app").get(b"a") == output("3")
    assert shelf(cache, 3).get(b"a") is None


def test_registrations_of_equal_hash_do_not_share() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    assert hash(-1) == hash(-2)
    shelf(cache, -1).complete(b"x", "leader", output("1"))

    assert shelf(cache, -2).get(b"x") is None


def test_an_output_that_outgrows_the_cache_is_forgotten() -> None:
    cache: PredictionCache[str] = PredictionCache(2 * ENTRY)
    put(cache, "a")
    put(cache, "b")
    put(cache, "a", 10_000)

    assert present(cache) == {"b"}
    assert cache.size_bytes == ENTRY


def test_an_output_that_grows_makes_others_leave() -> None:
    cache: PredictionCache[str] = PredictionCache(3 * ENTRY)
    for name in "abc":
        put(cache, name)
    put(cache, "c", ENTRY)

    assert present(cache) == {"b", "c"}
    assert cache.size_bytes == 3 * ENTRY - 1


def test_a_dropped_registration_keeps_nothing_that_comes_late() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    old = shelf(cache)
    old.begin(b"a", "leader")
    cache.drop_generations({GENERATION})

    old.begin(b"b", "leader")
    old.complete(b"a", "leader", output("1"))

    assert old.get(b"a") is None
    assert cache.in_flight == len(cache) == cache.size_bytes == 0
    assert shelf(cache) is not old


def test_dropping_a_registration_takes_its_outputs_and_computations_only() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    for generation in (1, 2):
        shelf(cache, generation).complete(b"a", "leader", output("1"))
        shelf(cache, generation, "app").complete(b"b", "leader", output("1"))
        shelf(cache, generation).begin(b"c", "leader")

    cache.drop_generations({1})

    assert set(shelf(cache, 2).entries) == {b"a"}
    assert set(shelf(cache, 2, "app").entries) == {b"b"}
    assert shelf(cache, 1).get(b"a") is shelf(cache, 1).leader(b"c") is None
    assert shelf(cache, 2).leader(b"c") == "leader"
    assert cache.size_bytes == 2 * ENTRY


def test_entries_give_the_garbage_collector_nothing_to_look_at() -> None:
    """Where each entry evicts one it runs rarely, and would stop the loop to look at them all."""
    cache: PredictionCache[str] = PredictionCache(2_000 * ENTRY)
    put(cache, "before")
    gc.collect()
    known = len(gc.get_objects())

    for number in range(4_000):
        put(cache, str(number))

    assert len(cache) > 1_000
    assert len(gc.get_objects()) - known < 100


def test_an_output_that_grew_too_large_takes_no_equal_entry_of_another_shelf() -> None:
    cache: PredictionCache[str] = PredictionCache(4 * ENTRY)
    for generation in (1, 2):
        shelf(cache, generation).complete(b"a", "leader", output("1"))

    shelf(cache, 2).complete(b"a", "leader", json_of(cache.capacity_bytes))

    assert shelf(cache, 1).get(b"a") == output("1")
    assert shelf(cache, 2).get(b"a") is None
    assert [entry.places is shelf(cache, 1).entries for entry in cache._ring] == [True]
    assert cache.size_bytes == ENTRY
