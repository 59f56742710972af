"""Tiers of tests: which one a test belongs to, what it needs, and the closing count of each.

A tier that cannot run here is skipped with the reason. Under ``CLIPPER_REQUIRE=docker`` (a comma
separated list) it fails instead, so that a broken CI machine cannot pass for a green run.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

REQUIRE = "CLIPPER_REQUIRE"
OUTCOMES = ("passed", "failed", "skipped", "deselected")


@dataclasses.dataclass(frozen=True, slots=True)
class Tier:
    """One tier of the closing count."""

    name: str
    folder: str = ""
    """First folder below ``tests/`` of its tests; empty: only a marker says so."""
    marker: str = ""
    """Marker of its tests wherever they are."""
    on_request: bool = False
    """Whether its tests run only when they are asked for."""
    whole_clusters: bool = False
    """Whether its tests hold real processes to real latency objectives."""


TIERS = (
    Tier("unit", folder="unit"),
    Tier("architecture", folder="architecture"),
    Tier("integration", folder="integration"),
    Tier("e2e local", folder="e2e", whole_clusters=True),
    Tier("docker", folder="docker", marker="docker", whole_clusters=True),
    Tier("docker slow", marker="slow", on_request=True, whole_clusters=True),
    Tier("kubernetes", folder="kubernetes", marker="kubernetes", whole_clusters=True),
    Tier("kubernetes slow", marker="kubernetes_slow", on_request=True, whole_clusters=True),
    Tier(
        "frameworks",
        folder="frameworks",
        marker="frameworks",
        on_request=True,
        whole_clusters=True,
    ),
)
"""In the order in which they run: quick ones first; those of one cluster are neighbours."""

DOCKER = frozenset({"docker", "slow"})
"""Markers of tests that need a Docker engine."""

KUBERNETES = frozenset({"kubernetes", "kubernetes_slow"})
"""Markers of tests that need a Kubernetes cluster."""

OTHER = Tier("other")


def tier_of(folder: str, markers: Collection[str]) -> Tier:
    """Return the slowest tier that fits a test in ``tests/<folder>/`` with these markers."""
    fitting = [tier for tier in TIERS if tier.folder == folder or tier.marker in {*markers} - {""}]
    return fitting[-1] if fitting else OTHER


def order(tier: Tier) -> int:
    """Return the tier's place in the run."""
    return TIERS.index(tier) if tier in TIERS else len(TIERS)


def required(environ: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the tiers that have to run.

    Raises:
        ValueError: a name that nothing is called, lest a slip switch the requirement off.
    """
    names = frozenset(part.strip() for part in environ.get(REQUIRE, "").split(",")) - {""}
    known = {tier.marker for tier in TIERS if tier.marker and not tier.on_request}
    if names - known:
        raise ValueError(
            f"{REQUIRE} names {', '.join(sorted(names - known))}, but there are only the tiers "
            f"{', '.join(sorted(known))}"
        )
    return names


def asked_for(tier: Tier, expression: str, arguments: Sequence[str]) -> bool:
    """Tell whether a tier's tests may run.

    Args:
        tier: the tier.
        expression: pytest's ``-m``.
        arguments: the paths and test names of the command line.
    """
    if not tier.on_request:
        return True
    # A tier without a folder of its own has its tests in files of others: name them.
    place = f"tests/{tier.folder}" if tier.folder else ".py"
    return (
        any(place in argument for argument in arguments)
        or tier.marker in expression.replace("(", " ").replace(")", " ").split()
    )


@dataclasses.dataclass
class Tally:
    """How the tests of every tier ended."""

    counts: dict[str, collections.Counter[str]] = dataclasses.field(
        default_factory=lambda: collections.defaultdict(collections.Counter)
    )

    def add(self, tier: Tier, outcome: str) -> None:
        self.counts[tier.name][outcome] += 1

    def lines(self) -> list[str]:
        """Return one line per tier that has tests in this run, and what each outcome's count is."""
        names = [tier.name for tier in (*TIERS, OTHER) if tier.name in self.counts]
        return [f"{name:<16}{_told(self.counts[name])}" for name in names]


def _told(counts: Mapping[str, int]) -> str:
    told = [f"{counts[outcome]:>5} {outcome}" for outcome in OUTCOMES if counts.get(outcome)]
    return ", ".join(told)


def tally(tiers: Mapping[str, Tier], ended: Mapping[str, Iterable[str]]) -> Tally:
    """Count each test once, by its worst outcome.

    Args:
        tiers: test → its tier.
        ended: outcome as pytest names it (``error`` is one, too) → tests; a test that failed, or
            whose clean-up failed after it passed, is there more than once.
    """
    kinds = {
        "failed": ("failed", "error"),
        "skipped": ("skipped", "xfailed"),
        "passed": ("passed", "xpassed"),
        "deselected": ("deselected",),
    }
    seen: set[str] = set()
    result = Tally()
    for outcome, names in kinds.items():
        for test in (test for name in names for test in ended.get(name, ())):
            if test not in seen:
                seen.add(test)
                result.add(tiers.get(test, OTHER), outcome)
    return result
