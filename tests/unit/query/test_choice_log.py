"""Choices reach the store soon, in groups, and feedback finds them sooner still."""

from __future__ import annotations

import asyncio

import pytest

from clipper.errors import StoreUnavailable
from clipper.query.choice_log import ChoiceLog, ChoiceLogSettings
from tests.fakes.fake_selection_store import FakeSelectionStore
from tests.fakes.virtual_clock import VirtualClock


class Bench:
    def __init__(self, settings: ChoiceLogSettings | None = None) -> None:
        self.clock = VirtualClock()
        self.store = FakeSelectionStore()
        self.log = ChoiceLog(self.clock, self.store, settings or ChoiceLogSettings())

    async def pass_time(self, delay_s: float) -> None:
        self.clock.advance(delay_s)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_records_are_stored_together_after_a_moment() -> None:
    bench = Bench()
    bench.log.add("a", 1, b"x")
    bench.log.add("a", 2, b"y")
    bench.log.add("b", 1, b"z")
    await bench.pass_time(0.04)
    assert not bench.store.choices
    await bench.pass_time(0.01)
    assert bench.store.choices == {("a", 1): b"x", ("a", 2): b"y", ("b", 1): b"z"}
    assert bench.store.choice_writes == 2
    await bench.pass_time(10)
    assert bench.store.choice_writes == 2, "nothing is sent twice"


async def test_many_records_do_not_wait() -> None:
    bench = Bench(ChoiceLogSettings(flush_records=3))
    for query_id in range(3):
        bench.log.add("a", query_id, b"x")
    await bench.pass_time(0)
    assert len(bench.store.choices) == 3


async def test_what_is_added_during_a_write_follows_it() -> None:
    bench = Bench()
    bench.store.open.clear()
    bench.log.add("a", 1, b"x")
    await bench.pass_time(0.05)
    bench.log.add("a", 2, b"y")
    bench.log.add("a", 1, b"late member")
    bench.store.open.set()
    await bench.pass_time(0)
    assert bench.store.choices == {("a", 1): b"x"}
    await bench.pass_time(0.05)
    assert bench.store.choices == {("a", 1): b"late member", ("a", 2): b"y"}


async def test_own_records_are_found_without_the_store() -> None:
    bench = Bench()
    bench.store.up = False
    bench.log.add("a", 1, b"x")
    assert await bench.log.find("a", [1]) == [b"x"]
    assert bench.store.choice_reads == 0
    with pytest.raises(StoreUnavailable):
        await bench.log.find("b", [1])


async def test_a_record_that_another_worker_has_not_sent_yet_is_waited_for() -> None:
    bench = Bench()
    search = asyncio.create_task(bench.log.find("a", [1]))
    await bench.pass_time(0.05)
    assert not search.done()
    await bench.store.write_choices("a", {1: b"x"})
    await bench.pass_time(0.05)
    assert await search == [b"x"]


async def test_a_record_that_is_nowhere_is_given_up_in_time() -> None:
    bench = Bench()
    search = asyncio.create_task(bench.log.find("a", [1]))
    await bench.pass_time(0)
    await bench.pass_time(0.2)
    assert not search.done()
    for _ in range(5):
        await bench.pass_time(0.05)
    assert search.done()
    assert search.result() == [None]


async def test_a_cancelled_search_leaves_nothing_behind() -> None:
    bench = Bench()
    search = asyncio.create_task(bench.log.find("a", [1]))
    await bench.pass_time(0.01)
    search.cancel()
    await asyncio.wait([search])
    await bench.pass_time(1)
    assert bench.store.choice_reads == 1


async def test_records_wait_for_a_store_that_is_away_and_the_oldest_are_dropped() -> None:
    bench = Bench(ChoiceLogSettings(max_records=3))
    bench.store.up = False
    for query_id in range(4):
        bench.log.add("a", query_id, b"x")
    await bench.pass_time(0.05)
    assert bench.log.dropped == 1
    bench.store.up = True
    await bench.pass_time(0.5)
    assert sorted(query_id for _, query_id in bench.store.choices) == [1, 2, 3]
    bench.log.add("a", 4, b"x")
    assert bench.log.dropped == 1, "what is stored is no loss"


async def test_records_are_limited_in_bytes() -> None:
    bench = Bench(ChoiceLogSettings(max_bytes=10))
    bench.log.add("a", 1, b"x" * 6)
    bench.log.add("a", 1, b"x" * 5)
    bench.log.add("a", 2, b"x" * 5)
    assert bench.log.dropped == 0
    bench.log.add("a", 3, b"x")
    assert bench.log.dropped == 1
    await bench.log.flush()
    assert sorted(query_id for _, query_id in bench.store.choices) == [2, 3]


async def test_flush_stores_what_is_left_or_gives_up_after_one_attempt() -> None:
    bench = Bench()
    bench.log.add("a", 1, b"x")
    bench.store.open.clear()
    await bench.pass_time(0.05)
    bench.log.add("a", 2, b"y")
    ending = asyncio.create_task(bench.log.flush())
    await bench.pass_time(0)
    assert not ending.done()
    bench.store.open.set()
    await ending
    assert len(bench.store.choices) == 2

    bench.store.up = False
    bench.log.add("a", 3, b"z")
    writes = bench.store.choice_writes
    await bench.log.flush()
    assert bench.store.choice_writes == writes + 1
    await bench.pass_time(10)
    assert bench.store.choice_writes == writes + 1, "nothing goes on after the end"


async def test_many_records_are_looked_for_together() -> None:
    bench = Bench()
    bench.log.add("a", 0, b"own")
    await bench.store.write_choices("a", {number: b"%d" % number for number in range(1, 1000)})
    found = await bench.log.find("a", range(1000))
    assert found == [b"own", *(b"%d" % number for number in range(1, 1000))]
    assert bench.store.choice_reads == 1
    search = asyncio.create_task(bench.log.find("a", [1, 5000, 5001]))
    await bench.pass_time(0.05)
    await bench.store.write_choices("a", {5000: b"late"})
    for _ in range(7):
        await bench.pass_time(0.05)
    assert await search == [b"1", b"late", None]
