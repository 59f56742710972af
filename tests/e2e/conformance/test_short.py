"""Acceptance table S of the interface spec §12.1, for every container manager.

`cluster` is the only thing that differs between managers. Where the original slept, nothing waits
here: calls return when they are in force (design decision 12).
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from clipper.managers.stock_images import FAMILIES, stock_image
from tests.e2e.clusters import Cluster

NOOP_IMAGE = stock_image("noop-container")


def closure_image() -> str:
    """Return the stock image for functions of this interpreter's version."""
    python = "{}{}".format(*sys.version_info)
    return stock_image(FAMILIES["python-closure"].pattern.format(python=python))


def a_name(prefix: str = "m") -> str:
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def versions(cluster: Cluster, name: str) -> set[str]:
    models = cluster.connection.get_all_models(verbose=True)
    return {model["model_version"] for model in models if model["model_name"] == name}


def deploy_noop(cluster: Cluster, name: str, version: Any, num_replicas: int = 1) -> None:
    cluster.connection.deploy_model(name, version, "doubles", NOOP_IMAGE, num_replicas=num_replicas)


def test_s01_register_model_versions(cluster: Cluster) -> None:
    name = a_name()
    cluster.connection.register_model(name, "v1", "doubles")
    assert cluster.connection.get_model_info(name, "v1") is not None

    cluster.connection.register_model(name, "v2", "doubles")
    assert cluster.connection.get_model_info(name, "v2") is not None


def test_s02_register_application(cluster: Cluster) -> None:
    name = a_name("app")
    cluster.connection.register_application(name, "doubles", "DEFAULT", 100_000)

    assert name in cluster.connection.get_all_apps()


def test_s03_link_unregistered_model(cluster: Cluster) -> None:
    name = a_name("app")
    cluster.connection.register_application(name, "doubles", "DEFAULT", 100_000)

    with pytest.raises(ClipperException, match="No model with name"):
        cluster.connection.link_model_to_app(name, a_name())


def test_s04_unregister_application(cluster: Cluster) -> None:
    name = a_name("app")
    cluster.connection.register_application(name, "doubles", "DEFAULT", 100_000)
    cluster.connection.unregister_application(name)

    assert cluster.connection.get_all_apps() == []


def test_s05_no_links_at_first(cluster: Cluster) -> None:
    name = a_name("app")
    cluster.connection.register_application(name, "doubles", "DEFAULT", 100_000)

    assert cluster.connection.get_linked_models(name) == []


def test_s06_s07_link_and_unlink(cluster: Cluster) -> None:
    app, model = a_name("app"), a_name()
    cluster.connection.register_application(app, "doubles", "DEFAULT", 100_000)
    cluster.connection.register_model(model, "1", "doubles")
    cluster.connection.link_model_to_app(app, model)
    assert cluster.connection.get_linked_models(app) == [model]

    cluster.connection.unlink_model_from_app(app, model)
    assert cluster.connection.get_linked_models(app) == []


def test_s08_app_info(cluster: Cluster) -> None:
    name = a_name("app")
    cluster.connection.register_application(name, "ints", "DEFAULT", 100_000)

    info = cluster.connection.get_app_info(name)
    assert isinstance(info, dict)
    assert info["input_type"] == "integers"
    assert info["latency_slo_micros"] == 100_000
    assert cluster.connection.get_app_info("fake-app") is None


def test_s09_containerless_model_cannot_be_resized(cluster: Cluster) -> None:
    name = a_name()
    cluster.connection.register_model(name, "v1", "doubles")

    with pytest.raises(ClipperException, match="containerless model"):
        cluster.connection.set_num_replicas(name, 5)


def test_s10_set_model_version(cluster: Cluster) -> None:
    name = a_name()
    cluster.connection.register_model(name, "v1", "doubles")
    cluster.connection.register_model(name, "v2", "doubles")
    cluster.connection.set_model_version(name, "v1")

    info = cluster.connection.get_model_info(name, "v1")
    assert info is not None
    assert info["is_current_version"] is True
    assert cluster.connection.get_current_model_version(name) == "v1"


def test_s11_logs(cluster: Cluster, tmp_path: Path) -> None:
    paths = cluster.connection.get_clipper_logs(str(tmp_path / "logs"))

    assert paths
    assert all(os.path.isabs(path) and os.path.exists(path) for path in paths)


def test_s12_inspect_instance(cluster: Cluster) -> None:
    metrics = cluster.connection.inspect_instance()

    assert isinstance(metrics, dict)
    assert metrics


def test_s13_build_and_deploy(cluster: Cluster, tmp_path: Path) -> None:
    name = a_name()
    cluster.connection.build_and_deploy_model(
        name, "v1", "doubles", str(tmp_path), NOOP_IMAGE, num_replicas=1
    )

    assert isinstance(cluster.connection.get_model_info(name, "v1"), dict)
    assert cluster.connection.get_num_replicas(name, "v1") == 1
    assert cluster.running_from(NOOP_IMAGE, name, "v1") == 1


def test_s14_replicas_up_and_down(cluster: Cluster) -> None:
    name = a_name()
    deploy_noop(cluster, name, "v1")
    cluster.connection.set_num_replicas(name, 4)
    assert cluster.connection.get_num_replicas(name) == 4
    assert cluster.ready_replicas(name, "v1") == 4

    cluster.connection.set_num_replicas(name, 2, "v1")
    assert cluster.connection.get_num_replicas(name, "v1") == 2
    assert cluster.ready_replicas(name, "v1") == 2


def test_s15_stop_inactive_model_versions(cluster: Cluster) -> None:
    name = a_name()
    deploy_noop(cluster, name, 1, num_replicas=2)
    assert cluster.connection.get_num_replicas(name, 1) == 2
    assert versions(cluster, name) == {"1"}
    deploy_noop(cluster, name, 2, num_replicas=3)
    running = [cluster.connection.get_num_replicas(name, version) for version in (1, 2)]
    assert running == [2, 3]
    assert versions(cluster, name) == {"1", "2"}

    cluster.connection.stop_inactive_model_versions([name])

    running = [cluster.manager.get_num_replicas(name, version) for version in ("1", "2")]
    assert running == [0, 3]
    assert versions(cluster, name) == {"2"}


def test_s16_stopping_models_also_unregisters_them_at_once(cluster: Cluster) -> None:
    jimmy, robert = a_name("jimmypage"), a_name("robertplant")
    for name in (jimmy, robert):
        for version in ("i", "ii"):
            deploy_noop(cluster, name, version)

    def containers() -> int:
        return sum(
            cluster.manager.get_num_replicas(name, version)
            for name in (jimmy, robert)
            for version in ("i", "ii")
        )

    def registered() -> set[str]:
        return set(cluster.connection.get_all_models())

    assert containers() == 4
    assert registered() == {f"{jimmy}:i", f"{jimmy}:ii", f"{robert}:i", f"{robert}:ii"}
    cluster.connection.stop_models([jimmy])
    assert containers() == 2
    assert registered() == {f"{robert}:i", f"{robert}:ii"}
    cluster.connection.stop_versioned_models({robert: ["ii"]})
    assert containers() == 1
    assert registered() == {f"{robert}:i"}
    cluster.connection.stop_all_model_containers()
    assert containers() == 0
    assert registered() == set()


def test_s17_deploy_python_closure(cluster: Cluster) -> None:
    name = a_name()
    python_deployer.deploy_python_closure(
        cluster.connection, name, 1, "doubles", lambda inputs: ["0" for _ in inputs]
    )

    info = cluster.connection.get_model_info(name, 1)
    assert info is not None
    assert cluster.connection.get_num_replicas(name, 1) == 1
    assert cluster.running_from(closure_image(), name, 1) == 1


def test_s18_create_endpoint(cluster: Cluster) -> None:
    name = a_name()
    python_deployer.create_endpoint(
        cluster.connection, name, "doubles", lambda inputs: ["0" for _ in inputs]
    )

    assert cluster.connection.get_all_apps() == [name]
    assert cluster.connection.get_model_info(name, 1) is not None
    assert cluster.connection.get_linked_models(name) == [name]
    assert cluster.connection.get_num_replicas(name) == 1


def test_s19_test_predict_function_agrees_with_rest(cluster: Cluster) -> None:
    name = a_name()

    def sums(inputs: Any) -> list[Any]:
        return [sum(x) for x in inputs]

    cluster.connection.register_application(name, "doubles", "-1.0", 100_000)
    python_deployer.deploy_python_closure(cluster.connection, name, 1, "doubles", sums)
    cluster.connection.link_model_to_app(name, name)
    single = {"input": [1.1, 2.2, 3.3]}
    batch = {"input_batch": [[1.1, 2.2, 3.3], [4.4, 5.5, 6.6]]}

    response = cluster.predict(name, **single)
    assert [response["output"]] == cluster.connection.test_predict_function(single, sums, "doubles")
    responses = cluster.predict(name, **batch)["batch_predictions"]
    assert [part["output"] for part in responses] == cluster.connection.test_predict_function(
        batch, sums, "doubles"
    )


def test_s19_the_url_may_end_in_a_slash(cluster: Cluster) -> None:
    name = a_name()
    cluster.connection.register_application(name, "doubles", "-1.0", 100_000)

    response = requests.post(cluster.url(name) + "/", json={"input": [1.0]}, timeout=10)

    assert response.status_code == 200
    assert response.json()["output"] == -1.0


def test_s20_query_by_version(cluster: Cluster) -> None:
    name = a_name()
    cluster.connection.register_application(name, "doubles", "DEFAULT", 3_000_000)
    python_deployer.deploy_python_closure(
        cluster.connection, name, "v1", "doubles", lambda inputs: ["1" for _ in inputs]
    )
    cluster.connection.link_model_to_app(name, name)
    python_deployer.deploy_python_closure(
        cluster.connection, name, "v2", "doubles", lambda inputs: ["2" for _ in inputs]
    )

    first = cluster.predict(name, input=[1.0], version="v1")
    assert (first["default"], first["output"]) == (False, 1)
    assert cluster.predict(name, input=[1.0])["output"] == 2
    unknown = cluster.post(name, input=[1.0], version="v3")
    assert unknown.status_code != 200
    assert unknown.json()["cause"] == f"Requested version: v3 does not exist for model: {name}"
