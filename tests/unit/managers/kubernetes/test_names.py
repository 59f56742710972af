"""Names of what a cluster has on Kubernetes: valid there, and never two things with one."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.managers.kubernetes import names

LIMIT = 63
SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
EDGE = string.ascii_letters + string.digits

parts = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,80}[A-Za-z0-9])?", fullmatch=True)
alike = st.text("a1-.A", min_size=1, max_size=5).filter(lambda text: {text[0], text[-1]} <= {*EDGE})
"""Few letters, so that different pairs often read the same."""
versions = st.tuples(parts | alike, parts | alike)
clusters = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,32}[a-z0-9])?", fullmatch=True)


@given(model=versions, cluster=clusters)
def test_every_model_version_has_a_valid_name(model: tuple[str, str], cluster: str) -> None:
    name = names.model_deployment(*model, cluster)
    assert len(name) <= LIMIT
    assert SUBDOMAIN.fullmatch(name), name
    assert name.endswith(f"-deployment-at-{cluster}")
    label = names.model_label(*model)
    assert len(label) <= LIMIT
    assert LABEL_VALUE.fullmatch(label), label


@given(first=versions, second=versions, cluster=clusters)
def test_no_two_model_versions_share_a_name(
    first: tuple[str, str], second: tuple[str, str], cluster: str
) -> None:
    same = first == second
    one, other = (names.model_deployment(*model, cluster) for model in (first, second))
    assert (one == other) is same
    assert (names.model_label(*first) == names.model_label(*second)) is same
    claims = [names.model_claim(*model, cluster) for model in (first, second)]
    assert (claims[0] == claims[1]) is same


@given(model=st.tuples(alike, alike))
def test_a_hashed_name_is_no_other_versions_plain_one(model: tuple[str, str]) -> None:
    hashed = names.model_deployment(*model, "c")
    head = hashed.removesuffix("-deployment-at-c")
    for cut in (at for at, letter in enumerate(head) if letter == "-"):
        name, version = head[:cut], head[cut + 1 :]
        if (name, version) != model and name[-1:].isalnum() and version[:1].isalnum():
            assert names.model_deployment(name, version, "c") != hashed


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("digits", "1", "digits-1-deployment-at-c"),
        ("hand-written", "2", "hand-written-2-deployment-at-c"),
        ("digits", "1.0", "digits-1.0-deployment-at-c"),
    ],
)
def test_ordinary_names_stay_readable(name: str, version: str, expected: str) -> None:
    assert names.model_deployment(name, version, "c") == expected


@pytest.mark.parametrize(("name", "version"), [("Digits", "1"), ("a", "1-b"), ("d" * 50, "1")])
def test_others_can_still_be_recognized(name: str, version: str) -> None:
    found = names.model_deployment(name, version, "c")
    assert re.fullmatch(rf"{name.lower()[:30]}.*--[0-9a-f]{{8}}-deployment-at-c", found)


@given(first=clusters, second=clusters, index=st.integers(0, 99))
def test_parts_of_two_clusters_never_share_a_name(first: str, second: str, index: int) -> None:
    def of(cluster: str) -> set[str]:
        fixed = ("redis", "mgmt-frontend", "query-frontend", "metrics", "model", "clipper-secrets")
        return {
            names.anchor(cluster),
            names.kept(cluster),
            names.rpc_entry(cluster),
            names.rpc_of_frontend(index, cluster),
            *(names.of_cluster(part, cluster) for part in fixed),
        }

    assert all(len(name) <= LIMIT for name in of(first))
    assert first == second or not of(first) & of(second)


def test_the_label_of_a_stateful_sets_revision_fits() -> None:
    """Kubernetes puts the set's name and a hash of ten characters into it."""
    assert len(names.of_cluster("query-frontend", "c" * 34)) + len("-1234567890") <= LIMIT
