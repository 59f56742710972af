"""Whom the cluster's Prometheus scrapes, from what the API says of the pods."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from .examples import MODEL, objects, template_labels, workloads

FILE = Path(__file__).parents[4] / "containers/frontend/discover.py"


@pytest.fixture(scope="module")
def discover() -> ModuleType:
    spec = importlib.util.spec_from_file_location("discover", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pod(name: str, address: str | None, **metadata: Any) -> dict[str, Any]:
    """Return a running pod of a workload of the example."""
    [workload] = [one for one in workloads(objects()) if one["metadata"]["name"] == name]
    template = workload["spec"]["template"]["metadata"]
    status = {"phase": "Running"} | ({"podIP": address} if address else {})
    return {"metadata": {"name": f"{name}-0", **template, **metadata}, "status": status}


FRONTEND, REPLICA = "query-frontend-at-c", "digits-1-deployment-at-c"


def test_frontends_and_models_are_scraped_at_their_own_ports(discover: ModuleType) -> None:
    pods = [
        pod(one["metadata"]["name"], f"10.0.0.{number}")
        for number, one in enumerate(workloads(objects()))
    ]
    assert len({template_labels(one)["ai.clipper.name"] for one in workloads(objects())}) == 5
    found = {group["labels"]["container"]: group for group in discover.groups(pods)}
    assert set(found) == {f"{FRONTEND}-0", f"{REPLICA}-0"}
    frontend, replica = found[f"{FRONTEND}-0"], found[f"{REPLICA}-0"]
    assert frontend["labels"]["job"] == "query"
    assert frontend["targets"][0].endswith(":1337")
    assert replica["targets"][0].endswith(":1390")
    assert replica["labels"] == {
        "container": f"{REPLICA}-0", "job": "model",
        "model_name": MODEL.name, "model_version": MODEL.version,
    }  # fmt: skip


def test_an_address_of_version_6_is_bracketed(discover: ModuleType) -> None:
    [group] = discover.groups([pod(FRONTEND, "fd00::1")])
    assert group["targets"] == ["[fd00::1]:1337"]


def test_who_cannot_answer_is_left_out(discover: ModuleType) -> None:
    pending = pod(FRONTEND, "10.0.0.1")
    pending["status"]["phase"] = "Pending"
    assert discover.groups([pending, pod(FRONTEND, None)]) == []
    assert (
        discover.groups([pod(REPLICA, "10.0.0.1", deletionTimestamp="2024-05-01T10:00:00Z")]) == []
    )


def test_who_does_not_want_it_is_left_out(discover: ModuleType) -> None:
    assert discover.groups([pod(FRONTEND, "10.0.0.1", annotations=None)]) == []
    assert discover.groups([pod(FRONTEND, "10.0.0.1", labels={})]) == []


def test_the_order_does_not_depend_on_the_answer(discover: ModuleType) -> None:
    """Else the file would be written anew all the time."""
    pods = [pod(FRONTEND, "10.0.0.2"), pod(REPLICA, "10.0.0.1")]
    assert discover.groups(pods) == discover.groups(pods[::-1])


def test_the_file_is_replaced_as_a_whole(discover: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "clipper.json"
    for content in ("[]", '[{"targets": []}]'):
        discover.write(path, content)
        assert path.read_text() == content
    assert list(tmp_path.iterdir()) == [path]
