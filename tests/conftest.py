"""What every test gets: hypothesis profiles, the order of the tiers, ports nobody else has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest

from clipper.managers.ports import free_port

_TIERS = ("unit", "architecture", "integration", "e2e")
_TESTS = Path(__file__).parent

# A shared machine stalls now and then: deadlines per example would fail without a fault. In CI the
# examples are the same on every run, so that a red run is about the change and not about the draw.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run quick tiers first; inside a tier the random order stands."""
    items.sort(key=_tier)


def _tier(item: pytest.Item) -> int:
    parts = item.path.relative_to(_TESTS).parts if item.path.is_relative_to(_TESTS) else ()
    return _TIERS.index(parts[0]) if parts and parts[0] in _TIERS else len(_TIERS)


@pytest.fixture(scope="session")
def free_port_factory() -> Callable[..., int]:
    """Return ``free_port_factory(count=1)``: consecutive free ports, none given out twice."""
    given: set[int] = set()

    def unused_port(count: int = 1) -> int:
        while True:
            first = free_port(count=count)
            ports = set(range(first, first + count))
            if not ports & given:
                given.update(ports)
                return first

    return unused_port
