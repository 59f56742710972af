"""Which tier a test belongs to, which must run, and the closing count."""

from __future__ import annotations

import pytest

from tests import tiers


@pytest.mark.parametrize(
    ("folder", "markers", "name"),
    [
        ("unit", set(), "unit"),
        ("architecture", set(), "architecture"),
        ("integration", {"timeout"}, "integration"),
        ("e2e", set(), "e2e local"),
        ("e2e", {"docker"}, "docker"),
        ("docker", set(), "docker"),
        ("integration", {"docker"}, "docker"),
        ("docker", {"docker", "frameworks"}, "frameworks"),
        ("frameworks", set(), "frameworks"),
        ("frameworks", {"docker"}, "frameworks"),
        ("docker", {"docker", "slow"}, "docker slow"),
        ("kubernetes", set(), "kubernetes"),
        ("e2e", {"kubernetes"}, "kubernetes"),
        ("kubernetes", {"kubernetes", "kubernetes_slow"}, "kubernetes slow"),
        ("e2e", {"docker", "kubernetes"}, "kubernetes"),
        ("elsewhere", set(), "other"),
    ],
)
def test_the_slowest_tier_that_fits(folder: str, markers: set[str], name: str) -> None:
    assert tiers.tier_of(folder, markers).name == name


def test_tiers_run_from_quick_to_slow() -> None:
    names = ["frameworks", "kubernetes", "docker", "e2e", "unit", "architecture", "integration"]
    ran = sorted((tiers.tier_of(name, ()) for name in names), key=tiers.order)

    assert [tier.folder for tier in ran] == [
        "unit", "architecture", "integration", "e2e", "docker", "kubernetes", "frameworks",
    ]  # fmt: skip
    assert tiers.order(tiers.OTHER) > max(map(tiers.order, tiers.TIERS))


def test_required_tiers_are_a_list() -> None:
    assert tiers.required({}) == frozenset()
    assert tiers.required({"CLIPPER_REQUIRE": ""}) == frozenset()
    assert tiers.required({"CLIPPER_REQUIRE": " docker ,"}) == {"docker"}
    assert tiers.required({"CLIPPER_REQUIRE": "docker,kubernetes"}) == {"docker", "kubernetes"}


def test_all_that_needs_a_cluster_runs_in_one_piece() -> None:
    places = [place for place, tier in enumerate(tiers.TIERS) if tier.marker in tiers.KUBERNETES]

    assert places == list(range(places[0], places[0] + len(tiers.KUBERNETES)))


def test_a_slip_in_the_requirement_does_not_switch_it_off() -> None:
    with pytest.raises(ValueError, match=r"names dokcer, but there are only .*docker"):
        tiers.required({"CLIPPER_REQUIRE": "docker,dokcer"})


@pytest.mark.parametrize(
    ("expression", "arguments", "wanted"),
    [
        ("", [], False),
        ("", ["tests/docker"], False),
        ("docker", [], False),
        ("not frameworks", [], True),  # pytest's own expression leaves them out
        ("(docker or frameworks)", [], True),
        ("", ["tests/frameworks/test_keras.py::test_f3"], True),
    ],
)
def test_large_frameworks_run_when_asked_for(
    expression: str, arguments: list[str], wanted: bool
) -> None:
    frameworks = tiers.tier_of("frameworks", ())

    assert tiers.asked_for(frameworks, expression, arguments) is wanted


@pytest.mark.parametrize(
    ("expression", "arguments", "wanted"),
    [
        ("", ["tests/docker"], False),
        ("docker", [], False),
        ("(docker or slow) and not frameworks", [], True),
        ("", ["tests/docker/test_compose.py"], True),
    ],
)
def test_slow_tests_run_when_their_file_is_named(
    expression: str, arguments: list[str], wanted: bool
) -> None:
    slow = tiers.tier_of("docker", {"docker", "slow"})

    assert tiers.asked_for(slow, expression, arguments) is wanted
    assert tiers.asked_for(tiers.tier_of("docker", ()), expression, arguments)


@pytest.mark.parametrize(
    ("expression", "arguments", "wanted"),
    [
        ("", ["tests/kubernetes"], False),
        ("kubernetes", [], False),
        ("kubernetes or kubernetes_slow", [], True),
        ("", ["tests/kubernetes/test_faults.py"], True),
    ],
)
def test_slow_tests_on_kubernetes_run_on_request(
    expression: str, arguments: list[str], wanted: bool
) -> None:
    slow = tiers.tier_of("kubernetes", {"kubernetes", "kubernetes_slow"})

    assert tiers.asked_for(slow, expression, arguments) is wanted
    assert tiers.asked_for(tiers.tier_of("kubernetes", ()), expression, arguments)


def test_each_test_counts_once_by_its_worst_outcome() -> None:
    unit, docker = tiers.tier_of("unit", ()), tiers.tier_of("docker", ())
    of = {"a": unit, "b": unit, "c": docker, "d": docker, "e": docker}
    ended = {
        "": ["a", "b", "c"],
        "passed": ["a", "b", "c", "stranger"],
        "error": ["c"],
        "rerun": ["a"],
        "failed": ["d"],
        "skipped": ["e"],
    }

    assert tiers.tally(of, ended).lines() == [
        "unit                2 passed",
        "docker              2 failed,     1 skipped",
        "other               1 passed",
    ]
