"""The cache against a plain dict: whatever happens, never a wrong output, never over capacity."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clipper.cache.prediction_cache import CacheShelf, PredictionCache, entry_size_bytes
from clipper.outputs import Output

CAPACITY_BYTES = 3000


class CacheKey(NamedTuple):
    generation: int
    input: bytes
    application: str


keys = st.builds(
    CacheKey,
    st.integers(1, 3),
    st.sampled_from([b"", b"a", b"b", b"ab", b"k" * 300, b"\x00"]),
    st.sampled_from(["", "app"]),
)
outputs = st.one_of(
    st.binary(max_size=700).map(lambda text: Output(text, text)),
    st.binary(max_size=300).map(lambda text: Output(text, b'"' + text + b'"')),
)


class CacheModel(RuleBasedStateMachine):
    """`truth` holds the last output of every key, as a cache without bounds would."""

    def __init__(self) -> None:
        super().__init__()
        self.cache: PredictionCache[object] = PredictionCache(CAPACITY_BYTES)
        self.truth: dict[CacheKey, Output] = {}
        self.flying: dict[CacheKey, object] = {}
        self.stale: list[tuple[CacheKey, object]] = []

    def shelf(self, key: CacheKey) -> CacheShelf[object]:
        return self.cache.shelf(key.generation, key.application)

    @rule(key=keys)
    def look_up(self, key: CacheKey) -> None:
        found = self.shelf(key).get(key.input)
        assert found is None or found == self.truth[key]

    @rule(key=keys)
    def begin(self, key: CacheKey) -> None:
        if self.shelf(key).leader(key.input) is None:
            self.flying[key] = object()
            self.shelf(key).begin(key.input, self.flying[key])
        assert self.shelf(key).leader(key.input) is self.flying[key]

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), output=outputs)
    def complete(self, data: st.DataObject, output: Output) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        self.shelf(key).complete(key.input, self.flying.pop(key), output)
        self.truth[key] = output
        fits = entry_size_bytes(key.input, output) <= CAPACITY_BYTES
        assert self.shelf(key).get(key.input) == (output if fits else None)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        leader = self.flying.pop(key)
        self.shelf(key).abandon(key.input, leader)
        self.stale.append((key, leader))

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), output=outputs)
    def complete_after_giving_up(self, data: st.DataObject, output: Output) -> None:
        key, leader = data.draw(st.sampled_from(self.stale))
        self.shelf(key).complete(key.input, leader, output)
        self.truth[key] = output

    @rule(generation=st.integers(1, 3))
    def drop(self, generation: int) -> None:
        self.cache.drop_generations({generation})
        for known in (self.truth, self.flying):
            for key in [key for key in known if key.generation == generation]:
                del known[key]  # type: ignore[attr-defined]
        self.stale = [item for item in self.stale if item[0].generation != generation]

    @invariant()
    def bookkeeping_is_exact(self) -> None:
        ring = self.cache._ring
        assert self.cache.size_bytes == sum(entry.size_bytes for entry in ring) <= CAPACITY_BYTES
        assert all(e.size_bytes == entry_size_bytes(e.input, e.output) for e in ring)
        assert self.cache.in_flight == len(self.flying)
        assert len(self.cache) == len(ring)

    @invariant()
    def the_ring_holds_every_entry_once(self) -> None:
        shelves = self.cache._shelves.values()
        entries = {id(entry) for shelf in shelves for entry in shelf.entries.values()}
        assert sorted(entries) == sorted(map(id, self.cache._ring))


CacheModel.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestCacheModel = CacheModel.TestCase
