"""The prediction cache: finished outputs bounded in bytes, and computations in flight.

Each registration of a model version has a shelf of its own, named by its generation, and so has
each application that isolates its cache; on a shelf an output is found by the whole input. Inputs
are compared in full, so a hash collision can never return another input's answer (design
decision 8). Eviction is CLOCK over all shelves. Computations in flight are joined, not repeated,
and take no capacity. Only the event loop's thread may call it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec

from clipper.outputs import Output

ENTRY_OVERHEAD_BYTES = 400
"""What an entry costs beyond its input and output: dict slot, ring slot, object headers."""

MOST_SPARED = 32
"""Entries that one eviction passes over because they were used. When everything is in use, going
round the whole ring for one that is not would stop the event loop: 10 ms in a cache of the usual
size, a tenth of a second in one of a gigabyte."""

Leader = TypeVar("Leader")


class _Entry(msgspec.Struct, gc=False, eq=False):
    """One output on its shelf, equal to no other: the ring is searched for it by identity.

    The garbage collector does not know entries. It counts what is made less what is freed: where
    each new entry evicts an old one it does not run for seconds, and then stops the event loop for
    tens of milliseconds to look at all that came meanwhile. It would find nothing: an entry leaves
    the dict that it names when it leaves the ring.
    """

    places: dict[bytes, _Entry]
    input: bytes
    output: Output
    size_bytes: int
    used: bool = False
    """An entry has to earn its second turn: most inputs never come again."""


def entry_size_bytes(input_bytes: bytes, output: Output) -> int:
    """Return what an entry counts against the capacity."""
    rendered = 0 if output.json is output.text else len(output.json)
    return ENTRY_OVERHEAD_BYTES + len(input_bytes) + len(output.text) + rendered


class CacheShelf(Generic[Leader]):
    """The outputs of one registration of a model version, or whoever computes them (the leaders).

    A shelf that was dropped keeps nothing any more.
    """

    __slots__ = ("_cache", "dropped", "entries", "leaders")

    def __init__(self, cache: PredictionCache[Leader]) -> None:
        self.entries: dict[bytes, _Entry] = {}
        self.leaders: dict[bytes, Leader] = {}
        self.dropped = False
        self._cache = cache

    def get(self, input_bytes: bytes) -> Output | None:
        """Return the finished output of an input and mark it recently used."""
        entry = self.entries.get(input_bytes)
        if entry is None:
            return None
        entry.used = True
        return entry.output

    def leader(self, input_bytes: bytes) -> Leader | None:
        """Return who computes the output of an input now."""
        return self.leaders.get(input_bytes)

    def begin(self, input_bytes: bytes, leader: Leader) -> None:
        """Note that ``leader`` computes the output."""
        if not self.dropped:
            self.leaders[input_bytes] = leader

    def abandon(self, input_bytes: bytes, leader: Leader) -> None:
        """Forget a computation that will give no output, so that the next query starts afresh."""
        if self.leaders.get(input_bytes) is leader:
            del self.leaders[input_bytes]

    def complete(self, input_bytes: bytes, leader: Leader, output: Output) -> None:
        """Retain the output that ``leader`` computed, evicting others if there is no room."""
        if self.leaders.get(input_bytes) is leader:
            del self.leaders[input_bytes]
        if not self.dropped:
            self._cache.retain(self, input_bytes, output)


class PredictionCache(Generic[Leader]):
    """All shelves of one frontend worker, within one capacity."""

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes < 0:
            raise ValueError("the prediction cache size must not be negative")
        self.capacity_bytes = capacity_bytes
        self.size_bytes = 0
        self.evictions = 0
        self._shelves: dict[tuple[int, str], CacheShelf[Leader]] = {}
        self._ring: deque[_Entry] = deque()
        """The CLOCK: its hand is at the left end, and passing an entry moves it to the right."""

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def in_flight(self) -> int:
        """Number of computations that were begun and neither completed nor abandoned."""
        return sum(len(shelf.leaders) for shelf in self._shelves.values())

    def shelf(self, generation: int, application: str = "") -> CacheShelf[Leader]:
        """Return the shelf of a registration; made when it is not there.

        Args:
            generation: unique over all registrations of all model versions, so it stands for name
                and version.
            application: set for applications with ``isolate_cache``; otherwise shared.
        """
        key = (generation, application)
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = CacheShelf(self)
        return shelf

    def drop_generations(self, generations: Collection[int]) -> None:
        """Remove everything of these registrations of model versions, in one sweep."""
        dropped = [key for key in self._shelves if key[0] in generations]
        if not dropped:
            return
        for key in dropped:
            shelf = self._shelves.pop(key)
            shelf.dropped = True
            self.size_bytes -= sum(entry.size_bytes for entry in shelf.entries.values())
            shelf.entries.clear()
            shelf.leaders.clear()
        self._ring = deque(entry for entry in self._ring if entry.input in entry.places)

    def retain(self, shelf: CacheShelf[Leader], input_bytes: bytes, output: Output) -> None:
        """Put an output on a shelf, in the place of an older one, evicting others if needed."""
        size_bytes = entry_size_bytes(input_bytes, output)
        known = shelf.entries.get(input_bytes)
        if size_bytes > self.capacity_bytes:
            if known is not None:
                self._ring.remove(known)
                self._remove(known)
            return
        if known is None:
            self.size_bytes += size_bytes
            while self.size_bytes > self.capacity_bytes:
                self._evict_one()
            entry = _Entry(shelf.entries, input_bytes, output, size_bytes)
            shelf.entries[input_bytes] = entry
            self._ring.append(entry)
            return
        self.size_bytes += size_bytes - known.size_bytes
        known.output, known.size_bytes, known.used = output, size_bytes, True
        while self.size_bytes > self.capacity_bytes:
            self._evict_one()

    def _evict_one(self) -> None:
        ring = self._ring
        entry = ring.popleft()
        spared = 0
        while entry.used and spared < MOST_SPARED:
            spared += 1
            entry.used = False
            ring.append(entry)
            entry = ring.popleft()
        self._remove(entry)
        self.evictions += 1

    def _remove(self, entry: _Entry) -> None:
        del entry.places[entry.input]
        self.size_bytes -= entry.size_bytes
