"""Snapshots in parts, so that a thousand applications never hold the event loop for long.

A worker reads, encodes, sends and renders its metrics on the event loop that answers queries. It
does so part by part, and queries are answered in between. A part is a `Snapshot` of some families
or of some children of one. Everything here is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from clipper.metrics.snapshot import Child, FamilySnapshot, Kind, Snapshot, empty_snapshot

PART_EFFORT = 600
"""What one part may take: about 0.1 ms to read and to encode on the machines of 2025."""

_LABELS_EFFORT = 4
_OTHER_NUMBERS = {Kind.COUNTER: 1, Kind.GAUGE: 1, Kind.HISTOGRAM: 5, Kind.METER: 5}

_Key = TypeVar("_Key")
_Item = TypeVar("_Item")


def child_effort(kind: str, bounds: Sequence[float]) -> int:
    """Return what one child of a family takes: its numbers, and its labels as four more."""
    return _LABELS_EFFORT + _OTHER_NUMBERS[Kind(kind)] + len(bounds)


def portions(
    families: Iterable[tuple[_Key, Sequence[_Item], int]], limit: int = PART_EFFORT
) -> Iterator[list[tuple[_Key, Sequence[_Item]]]]:
    """Cut families into portions whose children take at most ``limit`` together.

    Args:
        families: key, children, and the effort of each child; read as portions are asked for.
        limit: a child that takes more by itself makes a portion of its own.
    """
    portion: list[tuple[_Key, Sequence[_Item]]] = []
    room = limit
    for key, children, effort in families:
        begin = 0
        while begin < len(children):
            if portion and room < effort:
                yield portion
                portion, room = [], limit
            some = children[begin : begin + max(1, room // effort)]
            portion.append((key, some))
            begin += len(some)
            room -= len(some) * effort
    if portion:
        yield portion


def split(snapshot: Snapshot, limit: int = PART_EFFORT) -> Iterator[Snapshot]:
    """Cut a snapshot into parts; `join` makes it whole again."""
    families: Iterable[tuple[tuple[str, FamilySnapshot], list[Child], int]] = (
        ((name, family), family["children"], child_effort(family["kind"], family["bounds"]))
        for name, family in snapshot["families"].items()
    )
    for portion in portions(families, limit):
        yield {
            "at_s": snapshot["at_s"],
            "families": {
                name: {**family, "children": list(children)} for (name, family), children in portion
            },
        }


def join(parts: Iterable[Snapshot]) -> Snapshot:
    """Return the snapshot that ``parts`` are of, as of the last; they stay as they are."""
    whole = empty_snapshot()
    for part in parts:
        whole["at_s"] = max(whole["at_s"], part["at_s"])
        for name, family in part["families"].items():
            known = whole["families"].setdefault(name, {**family, "children": []})
            known["children"].extend(family["children"])
    return whole
