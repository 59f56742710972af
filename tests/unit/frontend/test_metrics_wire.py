"""Parts of snapshots on their way: whole, or nothing."""

from __future__ import annotations

import pytest

from clipper.frontend.metrics_wire import IncomingParts
from clipper.metrics import Family, Kind, MetricRegistry, Snapshot
from clipper.metrics.parts import split

COUNTER = Family("c_total", Kind.COUNTER, "", labels=("app",))


@pytest.fixture
def snapshot() -> Snapshot:
    registry = MetricRegistry(lambda: 3.0)
    for app in "abcd":
        registry.counter(COUNTER, app).inc()
    return registry.snapshot()


@pytest.fixture
def parts(snapshot: Snapshot) -> list[Snapshot]:
    """Four parts, one for each series."""
    parts = list(split(snapshot, limit=1))
    assert len(parts) == 4
    return parts


def test_all_parts_make_the_snapshot_once(snapshot: Snapshot, parts: list[Snapshot]) -> None:
    incoming = IncomingParts()
    for index, part in enumerate(parts):
        incoming.add(index, part)
    assert incoming.whole(4) == snapshot
    assert incoming.whole(4) is None


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_part_spoils_its_snapshot_and_no_other(
    snapshot: Snapshot, parts: list[Snapshot], lost: int
) -> None:
    incoming = IncomingParts()
    for index, part in enumerate(parts):
        if index != lost:
            incoming.add(index, part)
    assert incoming.whole(4) is None
    for index, part in enumerate(parts):
        incoming.add(index, part)
    assert incoming.whole(4) == snapshot


def test_what_was_broken_off_does_not_mix_with_what_follows(
    snapshot: Snapshot, parts: list[Snapshot]
) -> None:
    incoming = IncomingParts()
    for index in range(3):
        incoming.add(index, {"at_s": 99.0, "families": {}})
    for index, part in enumerate(parts):
        incoming.add(index, part)
    assert incoming.whole(4) == snapshot


def test_a_snapshot_of_nothing_is_whole() -> None:
    assert IncomingParts().whole(0) == {"at_s": 0.0, "families": {}}
    assert IncomingParts().whole(None) is None
