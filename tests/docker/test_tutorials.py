"""The example scripts, written as for the original, on Docker; the tutorials show parts of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from clipper.admin.connection import ClipperConnection
from clipper.managers.docker.manager import DockerContainerManager
from tests.e2e.clusters import DockerCluster, eventually, remove_remains
from tests.e2e.scripts import DOCKER, check_basic_query, running
from tests.stock import StockImages

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture
def place(stock_images: StockImages) -> Iterator[dict[str, Any]]:
    """Arguments of a manager of the test's own; what it runs ends with the test."""
    stock_images.need("frontend", "prometheus", "python-closure")
    name = f"tutorial-{uuid.uuid4().hex[:8]}"
    ports = ("query", "management", "rpc")
    arguments: dict[str, Any] = {f"clipper_{port}_port": 0 for port in ports}
    arguments |= {"redis_port": 0, "prometheus_port": 0}
    arguments |= {"cluster_name": name, "docker_network": f"net-{name}"}
    try:
        yield arguments
    finally:
        try:
            manager = DockerContainerManager(**arguments)
            manager.stop_all(graceful=False)
            manager.delete_state()
        finally:
            remove_remains(stock_images.engine.client, name)


@pytest.fixture
def connected(place: dict[str, Any], stock_images: StockImages) -> Callable[[], DockerCluster]:
    """Return what connects to the cluster that a script has left running."""

    def connect() -> DockerCluster:
        manager = DockerContainerManager(**place)
        connection = ClipperConnection(manager)
        connection.connect()
        return DockerCluster(connection, manager, stock_images.engine)

    return connect


def test_quick_start(place: dict[str, Any], connected: Callable[[], DockerCluster]) -> None:
    with running("quick_start/start.py", DOCKER, place) as script:
        [address] = re.findall(r"Ask http://(\S+)/hello-world/predict", script.ended())
    reply = requests.post(
        f"http://{address}/hello-world/predict", json={"input": [1, 2]}, timeout=5
    )
    assert reply.json()["output"] == 3.0
    with running("quick_start/ask.py", DOCKER, place) as script:
        assert "'output': 6.6, 'default': False" in script.ended()
    cluster = connected()
    assert len(cluster.pids("model:sum-model:1")) == 1
    with running("quick_start/stop.py", DOCKER, place) as script:
        script.ended()
    assert cluster.pids("model:sum-model:1") == cluster.pids("query-frontend") == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--batch",)])
def test_basic_query_until_ctrl_c(place: dict[str, Any], words: tuple[str, ...]) -> None:
    with running("basic_query/query.py", DOCKER, place, *words) as script:
        check_basic_query(script, least=2 if words else 1)


@pytest.mark.slow
def test_pictures_as_bytes_and_in_json(place: dict[str, Any]) -> None:
    with running("image_query/image_query.py", DOCKER, place) as script:
        output = script.ended()
    assert "image-example (32, 24) default: False" in output
    assert "json-example {'name': 'picture.png', 'size': [32, 24]} default: False" in output


@pytest.mark.slow
def test_monitoring(place: dict[str, Any]) -> None:
    with running("monitoring/query.py", DOCKER, place) as script:
        output = script.printed("-> FizzBuzz")
        [address] = re.findall(r"Prometheus: http://(\S+)", output)
        batches = "count(clipper_mc_pred_total > 0)"
        eventually(lambda: _values(address, batches) == [2.0], "both replicas are read", 60)
        assert _values(address, "up") == [1.0, 1.0, 1.0]
        script.interrupt()
        output = script.ended()
    for number, answer in re.findall(r"(\d+) -> (\w+)", output):
        words = "Fizz" * (int(number) % 3 == 0) + "Buzz" * (int(number) % 5 == 0)
        assert answer == (words or number)


@pytest.mark.slow
def test_metrics_from_inside_a_function(
    place: dict[str, Any], connected: Callable[[], DockerCluster]
) -> None:
    with running("user_defined_metric/spam.py", DOCKER, place) as script:
        output = script.ended()
    assert "spam: claim your free prize" in output
    assert "spam: you have won free money" in output
    assert "ham: see you at lunch" in output

    cluster = connected()
    [container] = cluster.containers("model:spam-filter:1")
    [network] = container.attrs["NetworkSettings"]["Networks"].values()
    page = requests.get(f"http://{network['IPAddress']}:1390/metrics", timeout=5).text
    for line in [
        "spam_count_total 2.0",
        "ham_count_total 1.0",
        'word_count_bucket{le="5.0"} 3.0',
        "word_count_count 3.0",
        "vectorize_time_ms_count",
        "clipper_mc_pred_total",
    ]:
        assert f"\n{line}" in page
    address = cluster.manager.get_metric_addr()
    eventually(lambda: _values(address, "sum(spam_count_total)") == [2.0], "Prometheus has it", 60)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["sklearn", "xgboost", "pytorch"])
def test_frameworks(place: dict[str, Any], stock_images: StockImages, framework: str) -> None:
    stock_images.need({"xgboost": "python-closure"}.get(framework, framework))
    with running(f"frameworks/{framework}_digits.py", DOCKER, place) as script:
        [(right, count)] = re.findall(r"accuracy ([\d.]+) of (\d+)", script.ended())
    assert float(right) > 0.85
    assert count == "297"


def _values(address: str, query: str) -> list[float]:
    reply = requests.get(f"http://{address}/api/v1/query", params={"query": query}, timeout=5)
    return [float(row["value"][1]) for row in reply.json()["data"]["result"]]
