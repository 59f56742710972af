"""What every test gets: hypothesis profiles, the order of the tiers, clusters and images, ports."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import NoReturn

import hypothesis
import pytest

from clipper.managers.ports import free_port
from tests import kubernetes_access, tiers
from tests.kubernetes_access import ClusterAccess
from tests.kubernetes_api import ClusterError, KubernetesApi
from tests.stock import StockImages, engine_problem

_TESTS = Path(__file__).parent
_BUILD_LIMIT_S = 900
"""For a test, and the images that it is the first to need."""

_SHOWN_OF_A_FIRST_FAILURE = 6000
"""Characters, the last ones."""

_TIER_OF = pytest.StashKey[dict[str, tiers.Tier]]()
_KUBERNETES = pytest.StashKey[ClusterAccess]()

# A shared machine stalls now and then: deadlines per example would fail without a fault. In CI the
# examples are the same on every run, so that a red run is about the change and not about the draw.
hypothesis.settings.register_profile("dev", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_TIER_OF] = {}
    try:
        tiers.required(os.environ)
        way = kubernetes_access.choose_way(os.environ, kubernetes_access.client_installed())
        config.stash[_KUBERNETES] = ClusterAccess(way)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give tests the marker of the folder that they are in, and time for images to be built."""
    tier = _tier(item)
    item.config.stash[_TIER_OF][item.nodeid] = tier
    if tier.marker:
        item.add_marker(tier.marker)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(_BUILD_LIMIT_S))
    if tier.whole_clusters and item.config.getoption("reruns", None) is None:
        # A shared machine now and then stops everything for longer than any latency objective.
        # What is broken fails twice. `--reruns 0` shows the first failure.
        item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run quick tiers first, leave out what nobody asked for; inside a tier the order stands."""
    unwanted = [item for item in items if not _wanted(item)]
    config.hook.pytest_deselected(items=unwanted)
    items[:] = [item for item in items if item not in set(unwanted)]
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[bool, int]:
    return item.get_closest_marker("restarts_engine") is not None, tiers.order(_tier(item))


def _wanted(item: pytest.Item) -> bool:
    config = item.config
    return tiers.asked_for(_tier(item), config.option.markexpr or "", config.invocation_params.args)


def _tier(item: pytest.Item) -> tiers.Tier:
    inside = item.path.is_relative_to(_TESTS)
    folder = item.path.relative_to(_TESTS).parts[0] if inside else ""
    return tiers.tier_of(folder, {mark.name for mark in item.iter_markers()})


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop the Kubernetes cluster when no later test needs it.

    Its kubelet holds on to the Docker engine, which tests that come last stop and start. Around a
    test's repetitions, too.
    """
    try:
        return (yield)
    finally:
        if _has_one_of(tiers.KUBERNETES, item):
            later = item.session.items[item.session.items.index(item) + 1 :]
            if not any(_has_one_of(tiers.KUBERNETES, other) for other in later):
                item.config.stash[_KUBERNETES].close()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs an engine or a cluster where there is none; fail it where it is required."""
    if _has_one_of(tiers.DOCKER, item):
        problem = engine_problem()
        if problem is not None:
            _skip_or_fail("docker", problem)
    way = item.config.stash[_KUBERNETES].way
    if isinstance(way, kubernetes_access.NoCluster) and _has_one_of(tiers.KUBERNETES, item):
        _skip_or_fail("kubernetes", way.reason)


def _has_one_of(markers: Collection[str], item: pytest.Item) -> bool:
    return any(mark.name in markers for mark in item.iter_markers())


def _skip_or_fail(tier: str, problem: str) -> NoReturn:
    if tier in tiers.required(os.environ):
        pytest.fail(f"{tiers.REQUIRE} asks for {tier.capitalize()}. {problem}", pytrace=False)
    pytest.skip(problem)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show why tests were run again and what was left, and end with the count of tests per tier."""
    for report in terminalreporter.stats.get("rerun", []):
        terminalreporter.section(f"first failure of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext[-_SHOWN_OF_A_FIRST_FAILURE:])
    for complaint in terminalreporter.config.stash[_KUBERNETES].complaints:
        terminalreporter.section("the Kubernetes cluster was not stopped")
        terminalreporter.write_line(complaint)
    ended = collections.defaultdict(list)
    for outcome, reports in terminalreporter.stats.items():
        ended[outcome] = [report.nodeid for report in reports if hasattr(report, "nodeid")]
    lines = tiers.tally(terminalreporter.config.stash[_TIER_OF], ended).lines()
    if lines:
        terminalreporter.section("tests per tier")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def stock_images() -> Iterator[StockImages]:
    """Clipper's own images, each built when a test first needs it."""
    with StockImages.opened() as images:
        yield images


@pytest.fixture(scope="session")
def kubernetes_api(request: pytest.FixtureRequest) -> Iterator[KubernetesApi]:
    """The Kubernetes cluster of this run, started when a test first needs it.

    It stops after the last test of its tiers: a fixture that uses it lasts no longer than a module,
    and a test that uses it has the marker ``kubernetes`` or ``kubernetes_slow``.
    """
    access = request.config.stash[_KUBERNETES]
    try:
        api = access.api()
    except ClusterError as error:
        if isinstance(access.way, kubernetes_access.Commands):
            pytest.fail(str(error), pytrace=False)
        _skip_or_fail("kubernetes", str(error))
    yield api
    access.close()


@pytest.fixture
def kubernetes_namespace(kubernetes_api: KubernetesApi) -> Iterator[str]:
    """A namespace of the test's own, gone when the test has ended."""
    with kubernetes_api.namespace() as name:
        yield name


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
