"""What deployers hand to the manager, and what is left when a step fails."""

from __future__ import annotations

import inspect
import io
import pathlib
import pickle
from typing import Any

import joblib
import numpy as np
import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers import python, sklearn
from clipper.deployers.base_image import choose_base_image
from clipper.errors import ClipperException
from clipper.managers.stock_images import FAMILIES
from tests.fakes.fake_management import FakeCluster, FakeManager


class Doubler:
    """Stands in for an estimator."""

    def __init__(self) -> None:
        self.weights = np.arange(10_000.0)

    def predict(self, inputs: list[Any]) -> list[Any]:
        return [2 * one for one in inputs]


def positional(function: Any) -> dict[str, Any]:
    """Names and defaults of the arguments that scripts may pass by position."""
    parameters = inspect.signature(function).parameters.values()
    return {
        one.name: None if one.default is one.empty else one.default
        for one in parameters
        if one.kind is one.POSITIONAL_OR_KEYWORD
    }


def test_signatures_are_the_originals() -> None:
    tail = {"labels": None, "registry": None}
    last = {"num_replicas": 1, "batch_size": -1, "pkgs_to_install": None}
    assert list(positional(python.deploy_python_closure).items()) == list(
        {
            **dict.fromkeys(("clipper_conn", "name", "version", "input_type", "func")),
            "base_image": "default",
            **tail,
            **last,
        }.items()
    )
    assert list(positional(python.create_endpoint).items()) == list(
        {
            **dict.fromkeys(("clipper_conn", "name", "input_type", "func")),
            "default_output": "None",
            "version": 1,
            "slo_micros": 3000000,
            **tail,
            "base_image": "default",
            **last,
        }.items()
    )
    assert list(positional(sklearn.deploy_sklearn_model))[4:6] == ["func", "sklearn_model"]


def test_closure_is_built_deployed_and_serves(
    connection: ClipperConnection, cluster: FakeCluster, manager: FakeManager
) -> None:
    python.create_endpoint(
        connection, "sums", "doubles", lambda xs: [np.sum(x) for x in xs], num_replicas=2
    )
    assert pickle.loads(manager.bundle["func.pkl"])([[1.0, 2.0]]) == [3.0]
    assert manager.bundle["requirements.txt"].decode() == f"numpy=={np.__version__}\n"
    assert manager.built[0]["pkgs_to_install"] is None
    assert manager.built[0]["base_image"].endswith("-closure-container:0.5.0")
    assert cluster.apps["sums"]["linked_models"] == ["sums"]
    assert cluster.apps["sums"]["latency_slo_micros"] == 3000000
    assert cluster.models["sums", "1"]["container_name"] == "fake-sums:1"
    assert len(cluster.containers) == 2


def test_given_packages_replace_the_recorded_ones(
    connection: ClipperConnection, manager: FakeManager
) -> None:
    python.deploy_python_closure(
        connection, "m", 1, "doubles", lambda xs: xs, pkgs_to_install=["sympy==1.1.*"]
    )
    assert manager.built[0]["pkgs_to_install"] == ["sympy==1.1.*"]
    assert "requirements.txt" not in manager.bundle


def test_failed_deployment_unregisters_the_application(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.failure = "ImportError"
    cluster.connect_after_s = 1e9
    with pytest.raises(ClipperException, match="ImportError"):
        python.create_endpoint(connection, "sums", "doubles", lambda xs: xs)
    assert (cluster.apps, cluster.models, cluster.containers) == ({}, {}, [])


def test_failed_link_removes_model_and_application(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    cluster.refusals["add_model_links"] = "incompatible"
    with pytest.raises(ClipperException, match="incompatible"):
        python.create_endpoint(connection, "sums", "doubles", lambda xs: xs, on_default="error")
    assert (cluster.apps, cluster.models, cluster.containers) == ({}, {}, [])


def test_existing_application_is_left_alone(
    connection: ClipperConnection, cluster: FakeCluster
) -> None:
    connection.register_application("sums", "doubles", "-1", 1000)
    with pytest.raises(ClipperException, match="already exists"):
        python.create_endpoint(connection, "sums", "doubles", lambda xs: xs)
    assert cluster.apps["sums"]["default_output"] == "-1"


def test_unserializable_function_builds_nothing(
    connection: ClipperConnection, cluster: FakeCluster, manager: FakeManager
) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    with pytest.raises(ClipperException, match="stream"):
        python.deploy_python_closure(connection, "m", 1, "doubles", lambda xs: [stream])
    assert manager.built == []


def test_estimator_is_saved_for_joblib_and_predicts_by_default(
    connection: ClipperConnection, manager: FakeManager
) -> None:
    sklearn.deploy_sklearn_model(connection, "m", 1, "doubles", None, Doubler())
    assert manager.built[0]["base_image"].startswith("clipper/sklearn3")
    model = joblib.load(io.BytesIO(manager.bundle["sklearn_model.joblib"]))
    function = pickle.loads(manager.bundle["func.pkl"])
    assert function(model, [1, 2]) == [2, 4]


def test_estimator_file_is_copied_unread(
    connection: ClipperConnection, manager: FakeManager, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"not even a pickle")
    sklearn.deploy_sklearn_model(connection, "m", 1, "doubles", None, path)
    assert manager.bundle["sklearn_model.joblib"] == b"not even a pickle"
    with pytest.raises(ClipperException, match="No scikit-learn model file"):
        sklearn.deploy_sklearn_model(connection, "n", 1, "doubles", None, tmp_path / "none.pkl")


def test_base_image_follows_the_interpreter() -> None:
    family = FAMILIES["python-closure"]
    assert choose_base_image("default", family, "Python closure", (3, 12)).startswith(
        "clipper/python312-closure-container:"
    )
    assert choose_base_image("own", family, "Python closure", (2, 7)) == "own"
    with pytest.raises(ClipperException) as caught:
        choose_base_image("default", family, "Python closure", (3, 10))
    assert caught.value.msg == (
        "Python closure deployer only supports Python 3.11, 3.12, 3.13, and 3.14. Detected 3.10"
    )
    with pytest.raises(ClipperException, match=r"only supports Python 3\.11\. Detected 3\.12"):
        choose_base_image("default", FAMILIES["mxnet"], "MXNet", (3, 12))
