"""deploy/docker-compose.yml, followed as docs/monitoring.md says, without the admin client."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import clipper
from clipper.managers.stock_images import REGISTRY, stock_image
from tests import tiers
from tests.e2e.clusters import eventually
from tests.prometheus import Prometheus
from tests.stock import TEST_LABEL, StockImages

pytestmark = [pytest.mark.docker, pytest.mark.slow]

_DEPLOY = Path(__file__).parents[2] / "deploy"
_LIMIT_S = 300
_SERVICES = ("store", "management-frontend", "query-frontend", "prometheus")
"""Those that start without a profile."""


@dataclasses.dataclass
class Composed:
    """A cluster that `docker-compose up` has made."""

    project: str
    environment: dict[str, str]
    targets: Path
    client: Any

    def compose(self, *words: str) -> str:
        """Run docker-compose on the file, and fail with its own words."""
        command = ["docker-compose", "-f", str(_DEPLOY / "docker-compose.yml"), "-p", self.project]
        done = subprocess.run(
            [*command, *words], env=self.environment,
            capture_output=True, text=True, timeout=_LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> Any:
        [identity] = self.compose("ps", "-q", service).split()
        return self.client.containers.get(identity)

    def is_healthy(self, service: str) -> bool:
        return self.container(service).attrs["State"].get("Health", {})["Status"] == "healthy"

    def administer(self, operation: str, **body: Any) -> str:
        port = self.environment["CLIPPER_MANAGEMENT_PORT"]
        url = f"http://127.0.0.1:{port}/admin/{operation}"
        response = requests.post(url, json=body, timeout=60)
        assert response.status_code == 200, response.text
        return response.text

    def predict(self) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.environment['CLIPPER_QUERY_PORT']}/hello/predict"
        answer: dict[str, Any] = requests.post(url, json={"input": [1.0]}, timeout=60).json()
        return answer

    @property
    def prometheus(self) -> Prometheus:
        return Prometheus(f"http://127.0.0.1:{self.environment['PROMETHEUS_PORT']}")


@pytest.fixture(scope="module")
def composed(
    stock_images: StockImages,
    tmp_path_factory: pytest.TempPathFactory,
    free_port_factory: Callable[..., int],
) -> Iterator[Composed]:
    if shutil.which("docker-compose") is None:
        problem = "docker-compose is missing. On Debian: apt-get install docker-compose"
        if "docker" in tiers.required(os.environ):
            pytest.fail(problem, pytrace=False)
        pytest.skip(problem)
    stock_images.need("frontend", "prometheus", "noop")
    project = f"composed-{uuid.uuid4().hex[:8]}"
    targets = tmp_path_factory.mktemp("targets")
    targets.chmod(0o755)  # Prometheus runs as another user
    ports = ("CLIPPER_QUERY_PORT", "CLIPPER_MANAGEMENT_PORT", "PROMETHEUS_PORT")
    environment = os.environ | {
        "CLIPPER_REDIS_PASSWORD": uuid.uuid4().hex,
        "CLIPPER_TOKEN": uuid.uuid4().hex,
        "CLIPPER_NETWORK": f"net-{project}",
        "CLIPPER_REGISTRY": REGISTRY,
        "CLIPPER_TARGETS": str(targets),
        **{name: str(free_port_factory()) for name in ports},
    }
    cluster = Composed(project, environment, targets, stock_images.engine.client)
    try:
        cluster.compose("up", "-d")
        for service in _SERVICES:
            eventually(
                lambda name=service: cluster.is_healthy(name), f"{service} is healthy", _LIMIT_S
            )
        yield cluster
    finally:
        cluster.compose("down", "-v", "--timeout", "5")


@pytest.fixture(scope="module")
def serving(composed: Composed) -> Iterator[Composed]:
    """The cluster with one application and the noop model, started with `docker run`."""
    composed.administer(
        "add_app",
        name="hello", input_type="doubles", default_output="-1.0", latency_slo_micros=10_000_000,
    )  # fmt: skip
    image = stock_image("noop-container")
    composed.administer(
        "add_model",
        model_name="noop", model_version="1", labels=[], input_type="doubles",
        container_name=image, model_data_path="/model", batch_size=-1,
    )  # fmt: skip
    composed.administer("add_model_links", app_name="hello", model_names=["noop"])
    name = f"noop-{composed.project}"
    environment = {
        "CLIPPER_MODEL_NAME": "noop",
        "CLIPPER_MODEL_VERSION": "1",
        "CLIPPER_IP": "query-frontend",
        "CLIPPER_TOKEN": composed.environment["CLIPPER_TOKEN"],
    }
    words = [word for key, value in environment.items() for word in ("-e", f"{key}={value}")]
    subprocess.run(
        ["docker", "run", "-d", "--name", name, "--label", TEST_LABEL,
         "--network", composed.environment["CLIPPER_NETWORK"], *words, image],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    labels = {"container": name, "model_name": "noop", "model_version": "1"}
    targets = composed.targets / "noop.json"
    targets.write_text(json.dumps([{"targets": [f"{name}:1390"], "labels": labels}]))
    targets.chmod(0o644)
    try:
        eventually(lambda: not composed.predict()["default"], "the model answers")
        yield composed
    finally:
        composed.client.containers.get(name).remove(force=True, v=True)


def test_everything_becomes_healthy(composed: Composed) -> None:
    running = composed.client.containers.list(
        filters={"label": f"com.docker.compose.project={composed.project}"}
    )
    services = {one.labels["com.docker.compose.service"] for one in running}
    assert services == set(_SERVICES)
    assert {one.attrs["State"]["Health"]["Status"] for one in running} == {"healthy"}


def test_a_model_started_by_hand_answers(serving: Composed) -> None:
    answer = serving.predict()
    assert (answer["output"], answer["default"]) == (1.0, False)


def test_prometheus_knows_frontend_and_model(serving: Composed) -> None:
    eventually(
        lambda: sorted(serving.prometheus.targets().values()) == ["up", "up"],
        "two targets, both up",
        timeout_s=60,
    )
    eventually(
        lambda: serving.prometheus.query('clipper_mc_pred_total{model_name="noop"} > 0'),
        "the model's predictions are counted",
    )
    rules = serving.prometheus.ask("rules", type="alert")["groups"]
    assert {rule["health"] for group in rules for rule in group["rules"]} <= {"ok", "unknown"}
    assert sum(len(group["rules"]) for group in rules) > 10


def test_configuration_survives_down_and_up_of_the_store(serving: Composed) -> None:
    serving.compose("rm", "-s", "-f", "store")
    serving.compose("up", "-d")
    eventually(lambda: serving.is_healthy("store"), "the store is back", _LIMIT_S)
    assert json.loads(serving.administer("get_all_applications", verbose=False)) == ["hello"]
    assert serving.predict()["output"] == 1.0


@pytest.mark.parametrize("service", _SERVICES)
def test_every_service_is_hardened_and_comes_back(composed: Composed, service: str) -> None:
    container = composed.container(service)
    host = container.attrs["HostConfig"]
    assert container.exec_run(["id", "-u"]).output.strip() == b"10001"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    published = [
        binding["HostIp"] for bindings in (host["PortBindings"] or {}).values()
        for binding in bindings
    ]  # fmt: skip
    assert set(published) <= {"127.0.0.1"}


def test_no_password_is_told_before_anything_starts(composed: Composed) -> None:
    environment = {**composed.environment, "CLIPPER_REDIS_PASSWORD": ""}
    done = subprocess.run(
        ["docker-compose", "-f", str(_DEPLOY / "docker-compose.yml"), "-p", "unset", "config"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "see deploy/env.sample" in done.stderr


def test_the_sample_names_every_variable_and_this_version() -> None:
    composed = (_DEPLOY / "docker-compose.yml").read_text()
    sample = dict(re.findall(r"^(\w+)=(.*)$", (_DEPLOY / "env.sample").read_text(), re.MULTILINE))
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", composed))
    assert set(sample) == set(re.findall(r"\$\{(\w+):", composed))
    assert sample.items() >= defaults.items()
    assert sample["CLIPPER_VERSION"] == clipper.__version__
