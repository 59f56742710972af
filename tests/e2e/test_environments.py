"""Models with requirements of their own: isolated environments built by pip, for real."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from tests.e2e.clusters import Cluster, eventually, local_cluster

PACKAGE = "cowsay==6.1"
"""Small, pure Python, without dependencies, and not needed by anything here."""


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Cluster]:
    require_package_index()
    with local_cluster(tmp_path, isolated_environments=True) as cluster:
        yield cluster


def require_package_index() -> None:
    """Skip where pip cannot reach its index; in CI that would hide a fault."""
    if os.environ.get("CI") == "true":
        return
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    try:
        urllib.request.urlopen(f"{index}/cowsay/", timeout=10).close()
    except OSError as error:
        pytest.skip(f"the package index {index} cannot be reached: {error}")


def moo(inputs: Any) -> list[Any]:
    import cowsay

    return [f"{cowsay.__version__} {'hello' in cowsay.get_output_string('cow', 'hello')}"] * len(
        inputs
    )


def counts(inputs: Any) -> list[Any]:
    import importlib.util

    import sortedcontainers as containers

    has_more = importlib.util.find_spec("pytest") is not None
    return [f"{containers.__version__} {has_more}"] * len(inputs)


def nothing(inputs: Any) -> list[Any]:
    return [0.0 for _ in inputs]


def test_a_model_uses_a_package_that_only_its_environment_has(isolated: Cluster) -> None:
    assert importlib.util.find_spec("cowsay") is None
    python_deployer.create_endpoint(
        isolated.connection, "app", "doubles", moo, slo_micros=5_000_000, pkgs_to_install=[PACKAGE]
    )
    answer = eventually(
        lambda: (a := isolated.predict("app", input=[1.0]))["default"] is False and a, "an answer"
    )
    assert answer["output"] == "6.1 True"

    # The same requirements again: the environment is there and is shared.
    python_deployer.deploy_python_closure(
        isolated.connection, "again", 1, "doubles", moo, pkgs_to_install=[PACKAGE]
    )
    state = Path(isolated.manager.status()["state_dir"])
    assert len([p for p in (state / "environments").iterdir() if p.is_dir()]) == 1


def test_what_the_function_uses_here_is_found_and_installed_at_the_same_version(
    isolated: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    version = importlib.metadata.version("sortedcontainers")
    with caplog.at_level(logging.INFO):
        python_deployer.create_endpoint(
            isolated.connection, "counts", "doubles", counts, slo_micros=5_000_000
        )
    assert f"the image of counts:1 gets sortedcontainers=={version}" in caplog.text
    answer = eventually(
        lambda: (a := isolated.predict("counts", input=[1.0]))["default"] is False and a, "answer"
    )
    assert answer["output"] == f"{version} False"


def test_requirements_against_each_other_fail_with_what_conflicts(isolated: Cluster) -> None:
    with pytest.raises(ClipperException) as failed:
        python_deployer.deploy_python_closure(
            isolated.connection, "bad", 1, "doubles", nothing,
            pkgs_to_install=["numpy<2", "numpy>=2"],
        )  # fmt: skip
    assert "The conflict is caused by" in failed.value.msg
    assert "The user requested numpy<2" in failed.value.msg


def test_a_requirement_that_does_not_exist_fails_with_pips_words(isolated: Cluster) -> None:
    with pytest.raises(ClipperException) as failed:
        python_deployer.deploy_python_closure(
            isolated.connection, "bad", 1, "doubles", nothing, pkgs_to_install=["cowsay==0.0.99"]
        )
    assert "No matching distribution found for cowsay==0.0.99" in failed.value.msg
    assert len(failed.value.msg.splitlines()) < 20
    assert "bad" not in isolated.connection.get_all_models()
    assert isolated.pids("model:bad:1") == []


def test_without_isolation_a_missing_package_is_refused_with_the_way_out(
    tmp_path: Path,
) -> None:
    with local_cluster(tmp_path) as cluster:
        with pytest.raises(ClipperException, match="isolated_environments=True") as refused:
            python_deployer.deploy_python_closure(
                cluster.connection, "m", 1, "doubles", moo, pkgs_to_install=[PACKAGE]
            )
        assert "cowsay is not installed" in refused.value.msg
        assert cluster.connection.get_all_models() == []

        # Not declared at all: every query says what is missing.
        python_deployer.create_endpoint(
            cluster.connection, "app", "doubles", moo, "DEFAULT", slo_micros=5_000_000
        )
        answer = cluster.predict("app", input=[1.0])
        assert answer["output"] == "DEFAULT"
        assert "No module named 'cowsay'" in answer["default_explanation"]
