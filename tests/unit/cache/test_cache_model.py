"""The cache against a plain dict: whatever happens, never a wrong output, never over capacity."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from clipper.cache.prediction_cache import CacheKey, PredictionCache, entry_size_bytes
from clipper.datatypes import Output

CAPACITY_BYTES = 3000

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

    @rule(key=keys)
    def look_up(self, key: CacheKey) -> None:
        found = self.cache.get(key)
        assert found is None or found == self.truth[key]

    @rule(key=keys)
    def begin(self, key: CacheKey) -> None:
        if self.cache.leader(key) is None:
            self.flying[key] = object()
            self.cache.begin(key, self.flying[key])
        assert self.cache.leader(key) is self.flying[key]

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), output=outputs)
    def complete(self, data: st.DataObject, output: Output) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        self.cache.complete(key, self.flying.pop(key), output)
        self.truth[key] = output
        fits = entry_size_bytes(key, output) <= CAPACITY_BYTES
        assert self.cache.get(key) == (output if fits else None)

    @precondition(lambda self: self.flying)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.flying)))
        leader = self.flying.pop(key)
        self.cache.abandon(key, leader)
        self.stale.append((key, leader))

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), output=outputs)
    def complete_after_giving_up(self, data: st.DataObject, output: Output) -> None:
        key, leader = data.draw(st.sampled_from(self.stale))
        self.cache.complete(key, leader, output)
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
        entries = self.cache._entries
        sizes = [entry_size_bytes(key, entry.output) for key, entry in entries.items()]
        assert self.cache.size_bytes == sum(sizes) <= CAPACITY_BYTES
        assert self.cache.in_flight == len(self.flying)
        assert len(self.cache) == len(entries)

    @invariant()
    def the_ring_holds_every_entry_once(self) -> None:
        ring = []
        entry = hand = self.cache._hand
        while entry is not None:
            ring.append(entry.key)
            assert entry.next.previous is entry
            entry = None if entry.next is hand else entry.next
        assert len(ring) == len(set(ring))
        assert set(ring) == set(self.cache._entries)


CacheModel.TestCase.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)
TestCacheModel = CacheModel.TestCase
