"""Models of real frameworks on a local cluster: served exactly as they predict where they trained.

scikit-learn, PyTorch (F1), XGBoost (F5), LightGBM and ONNX (F9) of spec §12.4; the Docker tier has
them again.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.container.model import Model
from clipper.deployers import lightgbm, onnx, python, pytorch, sklearn, xgboost
from clipper.errors import ClipperException, ContainerStartError
from clipper.rpc.codec import InputBatch
from tests.e2e import trained
from tests.e2e.clusters import Cluster

SLO_MICROS = 20_000_000
GOOD = 0.9
"""Accuracy that a model guessing cannot reach: there are ten digits."""

pytestmark = pytest.mark.timeout(300)


def assert_serves(cluster: Cluster, app: str, model: trained.Trained) -> None:
    """Every answer is the model's own, so the accuracy is what training said."""
    answer = cluster.predict(app, input_batch=model.queries())
    parts = answer["batch_predictions"]
    assert [part for part in parts if part["default"]] == []
    outputs = [part["output"] for part in parts]
    assert model.disagreement(outputs) == 0
    assert model.served_accuracy(outputs) == model.accuracy >= GOOD


def deploy(cluster: Cluster, function: Callable[..., None], *arguments: Any) -> None:
    """Register and link an application ``app`` of 784 integers around a model version."""
    connection = cluster.connection
    if "app" not in connection.get_all_apps():
        connection.register_application("app", "integers", "default_pred", SLO_MICROS)
    function(connection, "m", "1", "integers", *arguments)
    connection.link_model_to_app("app", "m")


def test_pytorch_module(cluster: Cluster) -> None:
    model = trained.pytorch(784)
    model.model.train()  # it is served in evaluation mode all the same
    try:
        deploy(cluster, pytorch.deploy_pytorch_model, trained.predict_with_pytorch, model.model)
        assert model.model.training
    finally:
        model.model.eval()
    assert_serves(cluster, "app", model)
    pytorch.create_endpoint(
        cluster.connection, "easy-register-app-model", "integers", trained.predict_with_pytorch,
        model.model, slo_micros=SLO_MICROS,
    )  # fmt: skip
    assert_serves(cluster, "easy-register-app-model", model)


@pytest.fixture
def users_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module class, pre- and post-processing in modules that only this process can import."""
    (tmp_path / "users_net.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = torch.nn.Parameter(torch.tensor([3.0]))\n"
        "        self.register_buffer('shift', torch.tensor([1.0]), persistent=False)\n"
        "    def forward(self, x):\n"
        "        return self.scale * x + self.shift\n"
    )
    (tmp_path / "users_post.py").write_text("def label(y):\n    return f'about {y:.0f}'\n")
    (tmp_path / "users_pre.py").write_text("FACTOR = 10\ndef scaled(x):\n    return x * FACTOR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("users_net", "users_post", "users_pre"):
        sys.modules.pop(name, None)


def test_pytorch_module_of_the_users_own_class_with_local_processing(
    cluster: Cluster, users_modules: Path
) -> None:
    net = importlib.import_module("users_net")
    label = importlib.import_module("users_post").label

    def predict(module: Any, inputs: Any) -> list[str]:
        import torch
        from users_pre import scaled  # imported nowhere but here

        rows = torch.tensor([scaled(float(one[0])) for one in inputs])
        return [label(float(y)) for y in module(rows).numpy()]

    pytorch.create_endpoint(
        cluster.connection, "app", "doubles", predict, net.Net(), slo_micros=SLO_MICROS
    )
    assert cluster.predict("app", input=[2.0])["output"] == "about 61"


def test_xgboost_model_of_the_scikit_learn_interface(cluster: Cluster) -> None:
    model = trained.xgboost(784)
    deploy(cluster, xgboost.deploy_xgboost_model, None, model.model)
    assert_serves(cluster, "app", model)


def test_xgboost_booster_and_file(cluster: Cluster, tmp_path: Path) -> None:
    model = trained.xgboost(784)
    booster = model.model.get_booster()
    predict = trained.predict_with_xgboost_booster
    deploy(cluster, xgboost.deploy_xgboost_model, predict, booster)
    assert_serves(cluster, "app", model)

    saved = tmp_path / "model.json"
    booster.save_model(str(saved))
    xgboost.create_endpoint(
        cluster.connection, "file", "integers", predict, saved, slo_micros=SLO_MICROS
    )
    assert_serves(cluster, "file", model)


def test_xgboost_model_in_a_closure(cluster: Cluster) -> None:
    model = trained.xgboost(784)
    cluster.connection.register_application("app", "integers", "default_pred", SLO_MICROS)
    python.deploy_python_closure(
        cluster.connection, "m", 1, "integers", trained.xgboost_closure(model.model),
        batch_size=1, pkgs_to_install=["xgboost"],
    )  # fmt: skip
    cluster.connection.link_model_to_app("app", "m")
    outputs = [cluster.predict("app", input=one)["output"] for one in model.queries(40)]
    assert model.disagreement(outputs) == 0
    assert model.served_accuracy(outputs) >= GOOD


@pytest.mark.parametrize("kind", ["estimator", "booster", "file"])
def test_lightgbm_model(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    model = trained.lightgbm(784)
    booster = model.model.booster_
    saved = tmp_path / "model.txt"
    booster.save_model(str(saved))
    given = {"estimator": model.model, "booster": booster, "file": str(saved)}[kind]
    function = None if kind == "estimator" else trained.predict_with_lightgbm_booster
    deploy(cluster, lightgbm.deploy_lightgbm_model, function, given)
    assert_serves(cluster, "app", model)


def test_onnx_graph(cluster: Cluster) -> None:
    model = trained.onnx(784)
    deploy(cluster, onnx.deploy_onnx_model, trained.predict_with_onnx, model.model)
    assert_serves(cluster, "app", model)


def test_pytorch_module_as_onnx_graph(cluster: Cluster) -> None:
    import torch

    model = trained.pytorch(784)
    onnx.create_pytorch_endpoint(
        cluster.connection, "app", "integers", torch.zeros(1, 784), trained.predict_with_onnx,
        model.model, slo_micros=SLO_MICROS, onnx_backend="caffe2",
    )  # fmt: skip
    assert_serves(cluster, "app", model)


def test_scikit_learn_pipeline(cluster: Cluster) -> None:
    model = trained.sklearn(784)
    deploy(cluster, sklearn.deploy_sklearn_model, trained.predict_with_sklearn, model.model)
    assert_serves(cluster, "app", model)


class Raises(Model):
    """Fails as user code does."""

    def load(self, path: str) -> None:
        raise RuntimeError("no licence for this model")

    def predict_batch(self, inputs: InputBatch) -> list[str]:
        return []


class NeedsMore(Raises):
    """Needs a package that nobody has."""

    def load(self, path: str) -> None:
        import no_such_package  # type: ignore[import-not-found]  # noqa: F401


class Aborts(Raises):
    """Dies as of a fault in C code."""

    def load(self, path: str) -> None:
        import os

        os.abort()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("Raises", ["RuntimeError: no licence for this model"]),
        ("NeedsMore", ["No module named 'no_such_package'", "pkgs_to_install"]),
        ("Aborts", ["signal 6", "Fatal Python error: Aborted", "in load"]),
    ],
)
def test_what_dies_at_its_start_makes_deploying_raise_with_its_log(
    cluster: Cluster, tmp_path: Path, model: str, words: list[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with pytest.raises(ContainerStartError) as failed:
        cluster.connection.build_and_deploy_model(
            "m", "1", "doubles", str(data), f"{__name__}:{model}"
        )
    for word in words:
        assert word in failed.value.msg
    assert_nothing_is_left(cluster.connection)


def test_a_model_file_of_another_kind_makes_deploying_raise_with_the_reason(
    cluster: Cluster, tmp_path: Path
) -> None:
    wrong = tmp_path / "model.pkl"
    wrong.write_text("# no model\n")
    with pytest.raises(ContainerStartError, match="The model could not be loaded"):
        sklearn.deploy_sklearn_model(cluster.connection, "m", 1, "doubles", None, wrong)
    assert_nothing_is_left(cluster.connection)
    for module, fails in (
        (xgboost.deploy_xgboost_model, "Error saving XGBoost model"),
        (lightgbm.deploy_lightgbm_model, "Error saving LightGBM model"),
        (onnx.deploy_onnx_model, "Error saving ONNX model"),
    ):
        with pytest.raises(ClipperException, match=fails):
            module(cluster.connection, "m", 1, "doubles", None, wrong)  # type: ignore[operator]
    with pytest.raises(ClipperException, match="Error saving torch model: str is not"):
        pytorch.deploy_pytorch_model(
            cluster.connection, "m", 1, "doubles", trained.predict_with_pytorch, "model.pt"
        )
    assert_nothing_is_left(cluster.connection)


def assert_nothing_is_left(connection: ClipperConnection) -> None:
    assert connection.get_all_models() == []
    assert connection.get_all_model_replicas() == []
