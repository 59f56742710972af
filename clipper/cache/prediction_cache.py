"""The prediction cache: finished outputs bounded in bytes, and computations in flight.

A key names the registration of a model version (its generation) and the whole input; keys are
compared in full, so a hash collision can never return another input's answer (design decision 8).
Eviction is CLOCK. Computations in flight are joined, not repeated, and take no capacity.
Only the event loop's thread may call it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, NamedTuple, TypeVar

from clipper.datatypes import Output

ENTRY_OVERHEAD_BYTES = 400
"""What an entry costs beyond its key and output: dict slot, ring links, object headers."""

Leader = TypeVar("Leader")


class CacheKey(NamedTuple):
    """What an output depends on."""

    generation: int
    """Unique over all registrations of all model versions, so it stands for name and version."""
    input: bytes
    application: str = ""
    """Set for applications registered with ``isolate_cache``; otherwise shared."""


class _Entry:
    __slots__ = ("key", "next", "output", "previous", "size_bytes", "used")

    def __init__(self, key: CacheKey, output: Output, size_bytes: int) -> None:
        self.key = key
        self.output = output
        self.size_bytes = size_bytes
        self.used = True
        self.next = self
        self.previous = self


def entry_size_bytes(key: CacheKey, output: Output) -> int:
    """Return what an entry counts against the capacity."""
    rendered = 0 if output.json is output.text else len(output.json)
    return ENTRY_OVERHEAD_BYTES + len(key.input) + len(output.text) + rendered


class PredictionCache(Generic[Leader]):
    """Maps keys to outputs, or to whoever computes them at this moment (the leader)."""

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError("the prediction cache size must not be negative")
        self.capacity_bytes = capacity_bytes
        self.size_bytes = 0
        self.evictions = 0
        self._entries: dict[CacheKey, _Entry] = {}
        self._leaders: dict[CacheKey, Leader] = {}
        self._hand: _Entry | None = None

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def in_flight(self) -> int:
        """Number of computations that were begun and neither completed nor abandoned."""
        return len(self._leaders)

    def get(self, key: CacheKey) -> Output | None:
        """Return the finished output of ``key`` and mark it recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        entry.used = True
        return entry.output

    def leader(self, key: CacheKey) -> Leader | None:
        """Return who computes ``key`` now."""
        return self._leaders.get(key)

    def begin(self, key: CacheKey, leader: Leader) -> None:
        """Note that ``leader`` computes ``key``."""
        self._leaders[key] = leader

    def abandon(self, key: CacheKey, leader: Leader) -> None:
        """Forget a computation that will give no output, so that the next query starts afresh."""
        if self._leaders.get(key) is leader:
            del self._leaders[key]

    def complete(self, key: CacheKey, leader: Leader, output: Output) -> None:
        """Retain the output that ``leader`` computed, evicting others if there is no room."""
        self.abandon(key, leader)
        size_bytes = entry_size_bytes(key, output)
        if key in self._entries:
            self._remove(self._entries[key])
        if size_bytes > self.capacity_bytes:
            return
        while self.size_bytes + size_bytes > self.capacity_bytes:
            self._evict_one()
        self._insert(_Entry(key, output, size_bytes))

    def drop_generations(self, generations: Collection[int]) -> None:
        """Remove everything of these registrations of model versions, in one sweep."""
        if not generations:
            return
        for key in [key for key in self._entries if key.generation in generations]:
            self._remove(self._entries[key])
        for key in [key for key in self._leaders if key.generation in generations]:
            del self._leaders[key]

    def _insert(self, entry: _Entry) -> None:
        hand = self._hand
        if hand is None:
            self._hand = entry
        else:
            entry.next, entry.previous = hand, hand.previous
            hand.previous.next = entry
            hand.previous = entry
        self._entries[entry.key] = entry
        self.size_bytes += entry.size_bytes

    def _remove(self, entry: _Entry) -> None:
        if self._hand is entry:
            self._hand = None if entry.next is entry else entry.next
        entry.previous.next = entry.next
        entry.next.previous = entry.previous
        del self._entries[entry.key]
        self.size_bytes -= entry.size_bytes

    def _evict_one(self) -> None:
        hand = self._hand
        while hand is not None:
            if not hand.used:
                self._remove(hand)
                self.evictions += 1
                return
            hand.used = False
            hand = self._hand = hand.next
