from __future__ import annotations

import pytest

from clipper.errors import ClipperException
from clipper.managers.labels import (
    check_cluster_name,
    create_model_container_label,
    parse_model_container_label,
)


@pytest.mark.parametrize(("name", "version"), [("m", "1"), ("a-b", "v1.2-rc"), ("x9", "0")])
def test_labels_are_read_back(name: str, version: str) -> None:
    label = create_model_container_label(name, version)
    assert label == f"{name}_{version}"
    assert parse_model_container_label(label) == (name, version)


@pytest.mark.parametrize("part", ["", "a_b", "../up", "a/b", ".hidden", "a b", "a:b", "a\n", "-a"])
def test_ambiguous_or_dangerous_parts_are_refused(part: str) -> None:
    with pytest.raises(ClipperException, match="model name"):
        create_model_container_label(part, "1")
    with pytest.raises(ClipperException, match="model version"):
        create_model_container_label("m", part)


@pytest.mark.parametrize("label", ["", "m", "_1", "m_", "m_1_2"])
def test_other_texts_are_not_labels(label: str) -> None:
    with pytest.raises(ClipperException) as caught:
        parse_model_container_label(label)
    assert caught.value.msg == f"Unable to parse model container label {label}"


@pytest.mark.parametrize("name", ["", "my_shop", "über", "a b", "../up", "a" * 101])
def test_cluster_names_that_nothing_can_be_named_after(name: str) -> None:
    with pytest.raises(ClipperException, match="a cluster name consists of"):
        check_cluster_name(name)


def test_usual_cluster_names_pass() -> None:
    check_cluster_name("default-cluster")
    check_cluster_name("Shop.v2")
