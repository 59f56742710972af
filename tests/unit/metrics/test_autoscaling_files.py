"""The shipped examples for KEDA, prometheus-adapter and the HPA name metrics that exist."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
import yaml

from clipper.metrics import Family, families
from clipper.metrics.snapshot import Kind

_DIRECTORY = pathlib.Path(__file__).resolve().parents[3] / "deploy/kubernetes/autoscaling"
_FILES = sorted(_DIRECTORY.glob("*.yml"))


def _load(name: str) -> Any:
    return yaml.safe_load((_DIRECTORY / name).read_text())


def _exposed() -> set[str]:
    names: set[str] = set()
    for family in vars(families).values():
        if isinstance(family, Family) and family.exposed:
            histogram = family.kind is Kind.HISTOGRAM
            ends = ("_bucket", "_sum", "_count") if histogram else ("",)
            names |= {family.name + end for end in ends}
    return names


def _labels(name: str) -> set[str]:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    [family] = [
        family
        for family in vars(families).values()
        if isinstance(family, Family) and family.name in (name, base)
    ]
    return {*family.labels, "namespace", "le"}


def _queries() -> list[str]:
    triggers = _load("keda-scaledobject.yml")["spec"]["triggers"]
    rules = _load("prometheus-adapter-rules.yml")["externalRules"]
    return [
        *(trigger["metadata"]["query"] for trigger in triggers),
        *(rule["metricsQuery"] for rule in rules),
        *(rule["seriesQuery"] for rule in rules),
    ]


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_every_metric_that_a_file_names_exists(path: pathlib.Path) -> None:
    """Comments included; but for those that the adapter's rules make."""
    made = {rule["name"]["as"] for rule in _load("prometheus-adapter-rules.yml")["externalRules"]}
    named = set(re.findall(r"\bclipper_\w+", path.read_text()))
    assert named
    assert named - made <= _exposed()


def test_matchers_are_on_labels_that_the_metric_has() -> None:
    selectors = [
        selector
        for query in _queries()
        for selector in re.findall(r"(clipper_\w+)\{(.*?)\}", query)
    ]
    assert selectors
    for name, matchers in selectors:
        if "<<" not in matchers:
            assert set(re.findall(r"(\w+)!?=", matchers)) <= _labels(name), name


def test_the_hpa_uses_the_metrics_that_the_rules_make() -> None:
    made = {rule["name"]["as"] for rule in _load("prometheus-adapter-rules.yml")["externalRules"]}
    used = {metric["external"]["metric"]["name"] for metric in _load("hpa.yml")["spec"]["metrics"]}
    assert used == made


def test_both_ways_have_the_same_bounds_and_behaviour() -> None:
    keda, hpa = _load("keda-scaledobject.yml")["spec"], _load("hpa.yml")["spec"]
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (
        hpa["minReplicas"],
        hpa["maxReplicas"],
    )
    assert keda["advanced"]["horizontalPodAutoscalerConfig"]["behavior"] == hpa["behavior"]
    for trigger in keda["triggers"]:
        assert float(trigger["metadata"]["threshold"]) > 0
