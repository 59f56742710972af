"""Acceptance table L of the interface spec §12.2, for every container manager."""

from __future__ import annotations

import time
from typing import Any

import requests

from clipper.deployers import python as python_deployer
from tests.e2e.clusters import Cluster

from .test_short import NOOP_IMAGE, a_name, deploy_noop

NO_REPLICA = "No connected models found for query"


def register(cluster: Cluster, slo_micros: int = 3_000_000) -> str:
    name = a_name("app")
    cluster.connection.register_application(name, "doubles", "DEFAULT", slo_micros)
    return name


def test_l1_unlinked_app_gives_the_default(cluster: Cluster) -> None:
    answer = cluster.predict(register(cluster), input=[1.0, 2.0, 3.0, 4.0])

    assert (answer["output"], answer["default"]) == ("DEFAULT", True)
    assert answer["default_explanation"] == NO_REPLICA


def test_l2_l3_deployed_and_linked_app_predicts(cluster: Cluster) -> None:
    app, model = register(cluster), a_name()
    cluster.connection.deploy_model(model, 1, "doubles", NOOP_IMAGE)
    cluster.connection.link_model_to_app(app, model)

    assert cluster.predict(app, input=[1.0, 2.0, 3.0, 4.0])["default"] is False
    batch = [[float(row), 2.0, 3.0, 4.0] for row in range(4)]
    predictions = cluster.predict(app, input_batch=batch)["batch_predictions"]
    assert len(predictions) == 4
    assert not any(prediction["default"] for prediction in predictions)


def test_l4_python_closure(cluster: Cluster) -> None:
    app, model = register(cluster), a_name()
    python_deployer.deploy_python_closure(
        cluster.connection, model, 1, "doubles", lambda inputs: [str(len(x)) for x in inputs]
    )
    cluster.connection.link_model_to_app(app, model)

    answer = cluster.predict(app, input=[1.1, 2.2, 3.3])

    assert (answer["default"], answer["output"]) == (False, 3)


def test_l5_fixed_batch_size(cluster: Cluster) -> None:
    app, model = register(cluster, slo_micros=30_000_000), a_name()

    def batch_sizes(inputs: Any) -> list[str]:
        time.sleep(0.1)
        return [str(len(inputs)) for _ in inputs]

    python_deployer.deploy_python_closure(
        cluster.connection, model, 1, "doubles", batch_sizes, batch_size=9
    )
    cluster.connection.link_model_to_app(app, model)

    answers = cluster.predict(app, input_batch=[[float(row)] for row in range(450)])

    outputs = [prediction["output"] for prediction in answers["batch_predictions"]]
    assert len(outputs) == 450
    assert outputs.count(9) >= 315


def test_a_policy_combines_models_and_learns_from_feedback(cluster: Cluster) -> None:
    app = a_name("app")
    cluster.connection.register_application(
        app, "doubles", "DEFAULT", 3_000_000, policy="ensemble", min_confidence=0.5
    )
    for _ in range(2):
        model = a_name()
        python_deployer.deploy_python_closure(
            cluster.connection, model, 1, "doubles", lambda inputs: [len(one) for one in inputs]
        )
        cluster.connection.link_model_to_app(app, model)

    answer = cluster.predict(app, input=[1.1, 2.2, 3.3])
    label = {"query_id": answer["query_id"], "label": 3}
    counts = [
        requests.post(cluster.url(app, "update"), json=label, timeout=60).json() for _ in range(2)
    ]

    assert (answer["default"], answer["output"], answer["confidence"]) == (False, 3, 1.0)
    assert counts == [{"accepted": 1, "duplicates": 0}, {"accepted": 0, "duplicates": 1}]
    summary = cluster.connection.get_policy(app)["summary"]
    assert (summary["labelled"], summary["mean_loss"]) == (1, 0.0)


def test_l6_scale_to_one_and_to_none(cluster: Cluster) -> None:
    app, model = register(cluster), a_name()
    deploy_noop(cluster, model, 1, num_replicas=2)
    cluster.connection.link_model_to_app(app, model)
    assert cluster.connection.get_num_replicas(model) == 2
    for value in (1.0, 2.0):
        assert cluster.predict(app, input=[value])["default"] is False

    cluster.connection.set_num_replicas(model, 1)
    assert cluster.connection.get_num_replicas(model) == 1
    for value in (3.0, 4.0):
        assert cluster.predict(app, input=[value])["default"] is False

    cluster.connection.set_num_replicas(model, 0)
    assert cluster.connection.get_num_replicas(model) == 0
    for value in (5.0, 6.0):
        answer = cluster.predict(app, input=[value])
        assert answer["default"] is True
        assert answer["default_explanation"] == NO_REPLICA
