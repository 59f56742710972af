"""The prediction cache: CLOCK in bytes, keys counted, computations in flight joined (spec §6)."""

from __future__ import annotations

import pytest

from clipper.cache.prediction_cache import (
    ENTRY_OVERHEAD_BYTES,
    CacheKey,
    PredictionCache,
    entry_size_bytes,
)
from clipper.datatypes import Output

GENERATION = 3


def key(name: str, generation: int = GENERATION, application: str = "") -> CacheKey:
    return CacheKey(generation, name.encode(), application)


def output(text: str) -> Output:
    """An output that is JSON, so that its text is counted once."""
    return Output(text.encode(), text.encode())


def json_of(size_bytes: int) -> Output:
    text = b"1" * size_bytes
    return Output(text, text)


def put(cache: PredictionCache[str], name: str, size_bytes: int = 1) -> None:
    cache.begin(key(name), name)
    cache.complete(key(name), name, json_of(size_bytes))


def present(cache: PredictionCache[str]) -> set[str]:
    """Return what is retained, without marking it used."""
    return {known.input.decode() for known in cache._entries}


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
    assert cache.get(key("a")) is None


def test_what_was_used_since_the_hand_passed_survives() -> None:
    cache: PredictionCache[str] = PredictionCache(4 * ENTRY)
    for name in "abcde":
        put(cache, name)
    cache.get(key("b"))

    put(cache, "f")

    assert present(cache) == set("bdef")


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

    assert cache.get(key("a")) is None
    assert cache.size_bytes == cache.evictions == cache.in_flight == len(cache) == 0


def test_an_output_larger_than_the_cache_leaves_the_others_alone() -> None:
    cache: PredictionCache[str] = PredictionCache(2 * ENTRY)
    put(cache, "a")
    put(cache, "b", 10_000)

    assert present(cache) == {"a"}


def test_keys_are_counted() -> None:
    long_key = CacheKey(1, b"k" * 5000)
    assert entry_size_bytes(long_key, json_of(1)) == ENTRY_OVERHEAD_BYTES + 5001

    cache: PredictionCache[str] = PredictionCache(4000)
    cache.complete(long_key, "leader", json_of(1))
    assert len(cache) == 0


def test_an_output_that_is_not_json_is_counted_in_both_forms() -> None:
    assert entry_size_bytes(key("a"), Output(b"ab", b'"ab"')) == ENTRY_OVERHEAD_BYTES + 1 + 2 + 4


def test_a_negative_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        PredictionCache(-1)


def test_a_computation_in_flight_is_known_until_it_completes() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    cache.begin(key("a"), "leader")
    assert cache.leader(key("a")) == "leader"
    assert cache.get(key("a")) is None
    assert cache.size_bytes == 0
    put(cache, "unrelated")
    assert cache.leader(key("a")) == "leader"

    cache.complete(key("a"), "leader", output("1"))

    assert cache.leader(key("a")) is None
    assert cache.get(key("a")) == output("1")


def test_only_the_leader_itself_can_abandon_its_computation() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    cache.begin(key("a"), "first")
    cache.abandon(key("a"), "first")
    assert cache.in_flight == 0
    cache.begin(key("a"), "second")

    cache.abandon(key("a"), "first")
    cache.complete(key("a"), "first", output("1"))

    assert cache.leader(key("a")) == "second"
    assert cache.get(key("a")) == output("1")


def test_computations_in_flight_are_never_evicted_and_take_no_room() -> None:
    cache: PredictionCache[str] = PredictionCache(ENTRY)
    for number in range(100):
        cache.begin(key(f"flying{number}"), "leader")
    for name in "abc":
        put(cache, name)

    assert cache.in_flight == 100
    assert present(cache) == {"c"}


def test_a_second_output_replaces_the_first_and_its_size() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    put(cache, "a", 1)
    put(cache, "a", 100)

    assert cache.get(key("a")) == json_of(100)
    assert cache.size_bytes == ENTRY + 99


def test_registrations_and_isolated_applications_do_not_share() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    cache.complete(key("a", 1), "leader", output("1"))
    cache.complete(key("a", 2), "leader", output("2"))
    cache.complete(key("a", 2, "app"), "leader", output("3"))

    assert cache.get(key("a", 1)) == output("1")
    assert cache.get(key("a", 2)) == output("2")
    assert cache.get(key("a", 2, "app")) == output("3")
    assert cache.get(key("a", 3)) is None


def test_keys_of_equal_hash_do_not_share() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    assert hash(-1) == hash(-2)
    cache.complete(CacheKey(-1, b"x"), "leader", output("1"))

    assert cache.get(CacheKey(-2, b"x")) is None


def test_dropping_a_registration_takes_its_outputs_and_computations_only() -> None:
    cache: PredictionCache[str] = PredictionCache(10 * ENTRY)
    for generation in (1, 2):
        cache.complete(key("a", generation), "leader", output("1"))
        cache.complete(key("b", generation, "app"), "leader", output("1"))
        cache.begin(key("c", generation), "leader")

    cache.drop_generations({1})

    assert {known.generation for known in cache._entries} == {2}
    assert cache.leader(key("c", 1)) is None
    assert cache.leader(key("c", 2)) == "leader"
    assert cache.size_bytes == sum(entry.size_bytes for entry in cache._entries.values())
