"""What Prometheus is told of a Docker cluster."""

from __future__ import annotations

import json

from clipper.managers.docker.targets import (
    FrontendTarget,
    ReplicaTarget,
    configuration,
    target_groups,
)

_FRONTEND = FrontendTarget("query_frontend-1")
_FIRST = ReplicaTarget("m_1-10", "m", "1")
_SECOND = ReplicaTarget("m_1-11", "m", "1")


def test_every_target_has_its_address_and_labels() -> None:
    assert json.loads(target_groups([_FRONTEND], [_FIRST])) == [
        {
            "targets": ["query_frontend-1:1337"],
            "labels": {"job": "query", "container": "query_frontend-1"},
        },
        {
            "targets": ["m_1-10:1390"],
            "labels": {
                "job": "model",
                "container": "m_1-10",
                "model_name": "m",
                "model_version": "1",
            },
        },
    ]


def test_the_order_of_the_containers_does_not_change_a_byte() -> None:
    one = target_groups([_FRONTEND], [_FIRST, _SECOND])
    assert one == target_groups(iter([_FRONTEND]), [_SECOND, _FIRST])
    assert [group["labels"]["container"] for group in json.loads(one)] == [
        "query_frontend-1",
        "m_1-10",
        "m_1-11",
    ]


def test_a_container_listed_twice_is_one_target() -> None:
    assert len(json.loads(target_groups([_FRONTEND] * 2, [_FIRST, _FIRST]))) == 2


def test_ports_other_than_the_usual_ones() -> None:
    groups = json.loads(target_groups([FrontendTarget("q", 80)], [ReplicaTarget("c", "m", "1", 9)]))
    assert [group["targets"] for group in groups] == [["q:80"], ["c:9"]]


def test_no_containers_are_no_targets() -> None:
    assert json.loads(target_groups([], [])) == []


def test_the_configuration_scrapes_every_five_seconds_what_the_files_name() -> None:
    text = configuration().decode()
    assert "scrape_interval: 5s" in text
    assert "evaluation_interval: 5s" in text
    assert "files: [/etc/clipper-prometheus/targets/*.json]" in text
    assert "- /etc/clipper-prometheus/rules/*.yml" in text
