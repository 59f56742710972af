"""Trained models in containers of their frameworks (F rows of the interface spec §12.4).

What a model says through REST is what it said where it was trained: same outputs, same accuracy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clipper.admin.connection import ClipperConnection
from clipper.deployers import onnx, python, pytorch, sklearn, xgboost
from tests.e2e import trained
from tests.e2e.clusters import DockerCluster, docker_cluster
from tests.e2e.trained import Trained
from tests.stock import StockImages

FEATURES = 784
PROBES = 25
SLO_MICROS = 100_000
"""Of the original's tests; half of the probes may miss it."""

PATIENT_SLO_MICROS = 30_000_000


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and the two ways to deploy it."""

    family: str
    train: Callable[[int], Trained]
    deploy: Callable[..., None]
    create_endpoint: Callable[..., None]
    arguments: Callable[[Trained], tuple[Any, ...]]
    """What comes after connection, name, version and input type."""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


def example(model: Trained) -> Any:
    import torch

    return torch.zeros((2, FEATURES), dtype=torch.float32)


CASES = {
    "F1 PyTorch": Case(
        "pytorch",
        trained.pytorch,
        pytorch.deploy_pytorch_model,
        pytorch.create_endpoint,
        lambda model: (trained.predict_with_pytorch, model.model),
    ),
    "F5 XGBoost in a closure": Case(
        "python-closure",
        trained.xgboost,
        python.deploy_python_closure,
        python.create_endpoint,
        lambda model: (trained.xgboost_closure(model.model),),
        {"batch_size": 1, "pkgs_to_install": ["xgboost-cpu", "scikit-learn"]},
    ),
    "F5 XGBoost": Case(
        "xgboost",
        trained.xgboost,
        xgboost.deploy_xgboost_model,
        xgboost.create_endpoint,
        lambda model: (trained.predict_with_xgboost_booster, model.model.get_booster()),
    ),
    "F9 PyTorch to ONNX": Case(
        "onnx",
        trained.pytorch,
        onnx.deploy_pytorch_model,
        onnx.create_pytorch_endpoint,
        lambda model: (example(model), trained.predict_with_onnx, model.model),
    ),
    "F9 ONNX": Case(
        "onnx",
        trained.onnx,
        onnx.deploy_onnx_model,
        onnx.create_endpoint,
        lambda model: (trained.predict_with_onnx, model.model),
    ),
    "scikit-learn": Case(
        "sklearn",
        trained.sklearn,
        sklearn.deploy_sklearn_model,
        sklearn.create_endpoint,
        lambda model: (trained.predict_with_sklearn, model.model),
    ),
}


SLOW = {"F1 PyTorch", "F5 XGBoost in a closure", "F9 ONNX", "F9 PyTorch to ONNX", "scikit-learn"}
"""Others show their framework and their way of deployment, too; of PyTorch, ONNX and scikit-learn,
local mode does."""


@pytest.fixture(scope="module")
def shared_cluster(stock_images: StockImages) -> Iterator[DockerCluster]:
    with docker_cluster(stock_images) as cluster:
        yield cluster


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, case in CASES.items()
    ],
)
def test_a_trained_model_says_through_rest_what_it_said_in_training(
    cluster: DockerCluster, stock_images: StockImages, case: Case
) -> None:
    stock_images.need(case.family)
    connection: ClipperConnection = cluster.connection
    model = case.train(FEATURES)
    queries = model.queries()
    connection.register_application("app", "integers", "default_pred", SLO_MICROS)
    before = cluster.predict("app", input=queries[0])
    assert (before["output"], before["default"]) == ("default_pred", True)

    case.deploy(connection, "m", 1, "integers", *case.arguments(model), **case.options)
    connection.link_model_to_app("app", "m")

    probes = [cluster.predict("app", input=query) for query in queries[:PROBES]]
    answered = [index for index, probe in enumerate(probes) if not probe["default"]]
    assert len(answered) > PROBES / 2
    assert [int(probes[i]["output"]) for i in answered] == model.expected[answered].tolist()

    case.create_endpoint(
        connection, "easy-register-app-model", "integers", *case.arguments(model),
        slo_micros=PATIENT_SLO_MICROS, **case.options,
    )  # fmt: skip

    answers = cluster.predict("easy-register-app-model", input_batch=queries)["batch_predictions"]
    assert not any(answer["default"] for answer in answers)
    outputs = [answer["output"] for answer in answers]
    assert model.disagreement(outputs) == 0
    assert model.served_accuracy(outputs) == model.accuracy
    assert model.accuracy > 0.85
