"""What `deploy/` ships for Kubernetes is whole, up to date, and documented."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

import clipper
from tests import manifests
from tests.architecture.docs_pages import REPOSITORY

_PAGE = REPOSITORY / "docs" / "kubernetes-helm.md"
_ICON = "icon is recommended"  # there is none


def test_the_base_is_what_the_manager_makes() -> None:
    kept = (manifests.BASE / "clipper.yaml").read_text(encoding="utf-8")
    assert kept == manifests.base_text(), "write it anew: python -m tests.manifests"


def test_the_base_lists_its_files() -> None:
    listed = yaml.safe_load((manifests.BASE / "kustomization.yaml").read_text(encoding="utf-8"))
    beside = {path.name for path in manifests.BASE.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed["resources"]) == beside


def test_kubectl_makes_of_the_base_what_the_manager_makes() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the path")
    said = subprocess.run(
        [kubectl, "kustomize", manifests.BASE], capture_output=True, text=True, check=True
    ).stdout
    found = manifests.comparable(manifests.objects(said))
    assert found.pop(f"Namespace/{manifests.NAMESPACE}")
    assert found == manifests.comparable(manifests.base_objects())


def test_the_base_keeps_no_secret() -> None:
    assert {one["kind"] for one in manifests.base_objects()} & {"Secret"} == set()
    needed = {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for one in manifests.base_objects()
        for container in one.get("spec", {})
        .get("template", {})
        .get("spec", {})
        .get("containers", ())
        for variable in container.get("env", ())
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    told = (manifests.BASE / "README.md").read_text(encoding="utf-8")
    assert len(needed) == 1
    assert f"create secret generic {needed.pop()} " in told


def test_the_chart_belongs_to_this_version() -> None:
    assert manifests.chart().metadata["appVersion"] == clipper.__version__
    assert manifests.chart().version == clipper.__version__


@pytest.mark.parametrize("version", ["v1.20.0", "v1.33.0"])
def test_the_chart_passes_lint(version: str) -> None:
    report = helm_python.lint(manifests.CHART, strict=True, kube_version=version)
    assert report["errors"] == []
    assert [one["error"] for one in report["messages"] if one["error"] != _ICON] == []


def test_a_packaged_chart_has_alerts_and_dashboard(tmp_path: Path) -> None:
    """In the repository they are links."""
    archive = helm_python.package(manifests.CHART, destination=tmp_path)
    with tarfile.open(archive) as opened:
        for name, origin in (
            ("alerts.yml", "prometheus/alerts.yml"),
            ("clipper.json", "grafana/dashboards/clipper.json"),
        ):
            packed = opened.extractfile(f"clipper/files/{name}")
            assert packed is not None
            assert packed.read() == (manifests.DEPLOY / origin).read_bytes()


def test_the_page_lists_every_value_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| `(.+?)` \| ", _PAGE.read_text(encoding="utf-8"), re.M)
    assert {name: yaml.safe_load(shown) for name, shown in rows} == dict(
        _leaves(manifests.chart().values)
    )


def test_the_schema_knows_every_value() -> None:
    schema = manifests.chart().schema
    assert schema is not None
    known = set(_schema_leaves(schema, schema["definitions"]))
    assert known - {"global"} == set(dict(_leaves(manifests.chart().values)))


def _leaves(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path → default; resources are one value."""
    for name, value in values.items():
        if isinstance(value, dict) and value and name != "resources":
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def _schema_leaves(
    schema: dict[str, Any], definitions: dict[str, Any], before: str = ""
) -> Iterator[str]:
    for name, given in schema["properties"].items():
        told = json.dumps(given)
        reference = re.fullmatch(r'\{"\$ref": "#/definitions/(\w+)"\}', told)
        meant = definitions[reference.group(1)] if reference else given
        if "properties" in meant and name != "resources":
            yield from _schema_leaves(meant, definitions, f"{before}{name}.")
        else:
            yield before + name
