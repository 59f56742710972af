"""Several frontend workers behave as one frontend, and two clusters as two."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from clipper.deployers import python as python_deployer
from tests.e2e.clusters import Cluster, eventually, local_cluster

from . import models
from .open_loop import OpenLoop

WORKERS = 3
SCRAPES = 12
"""New connections: the kernel spreads them, so that all workers answer one with near certainty."""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with local_cluster(tmp_path_factory.mktemp("workers"), workers=WORKERS) as cluster:
        yield cluster


@pytest.fixture
def app(pool: Cluster) -> Iterator[Cluster]:
    pool.clean()
    python_deployer.create_endpoint(
        pool.connection, "app", "doubles", models.doubler(), "DEFAULT", slo_micros=2_000_000
    )
    yield pool
    pool.clean()


def scrape(cluster: Cluster) -> dict[str, float]:
    """Return every sample of one answer to ``GET /metrics``, over a connection of its own.

    A connection that a killed worker takes with it is made again, as Prometheus would.
    """
    url = f"http://{cluster.connection.get_query_addr()}/metrics"
    for _ in range(20):
        with contextlib.suppress(requests.ConnectionError):
            text = requests.get(url, timeout=10).text
            break
        time.sleep(0.05)
    samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


def counted(samples: dict[str, float], app: str) -> float:
    """Return how many predictions of the application the samples show."""
    return sum(
        value
        for name, value in samples.items()
        if name.startswith("clipper_predictions_total{") and f'app="{app}"' in name
    )


def worker_pids(cluster: Cluster) -> list[int]:
    return [
        child.pid
        for supervisor in cluster.pids("query-frontend")
        for child in psutil.Process(supervisor).children()
    ]


def test_every_scrape_shows_the_sum_over_all_workers(app: Cluster) -> None:
    # An application of this name was there before: what a killed worker counted for it shows again
    # from the first query on.
    app.predict("app", input=[0.5])
    before = counted(scrape(app), "app")
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: app.predict("app", input=[float(n)]), range(300)))
    assert len({answer["query_id"] >> 32 for answer in answers}) == WORKERS
    assert [counted(scrape(app), "app") for _ in range(SCRAPES)] == [before + 300.0] * SCRAPES


def test_a_killed_worker_is_felt_by_nobody_who_tries_twice(app: Cluster) -> None:
    seen: dict[str, float] = {}
    with OpenLoop(
        app.connection.get_query_addr(), "app", 150.0, lambda n: [float(n), 1.0], keep_alive=False
    ) as traffic:
        for _ in range(2):
            eventually(lambda: traffic.finished() > 0, "answers")
            before = worker_pids(app)
            os.kill(before[1], signal.SIGKILL)
            give_up_at = time.monotonic() + 30.0
            while len(set(worker_pids(app)) - {before[1]}) < WORKERS or not all_ready(app):
                assert time.monotonic() < give_up_at, "a new worker"
                seen = not_below(seen, app)
        seen = not_below(seen, app)
        start = len(traffic.samples)
        eventually(lambda: len(traffic.samples) > start + 150, "more queries")
    assert [sample for sample in traffic.samples if not sample.answered] == []
    # On a busy machine a killed process can take longer to let go of its socket than a client
    # waits before it tries again, and the kernel still hands it connections until then.
    assert sum(sample.broken > 1 for sample in traffic.samples) <= 2
    assert sum(sample.broken > 0 for sample in traffic.samples) <= len(traffic.samples) // 20
    assert [s for s in traffic.samples if s.body["output"] != 2.0 * s.number] == []
    ids = [sample.body["query_id"] for sample in traffic.samples]
    assert len(set(ids)) == len(ids)
    not_below(seen, app)


def all_ready(cluster: Cluster) -> bool:
    (replica,) = cluster.connection.get_all_model_replicas(verbose=True)
    states = list(replica["worker_states"].values())
    return states == ["ready"] * WORKERS


def not_below(seen: dict[str, float], cluster: Cluster) -> dict[str, float]:
    """Scrape; assert that no counter went down since ``seen``; return the new values."""
    samples = scrape(cluster)
    counters = {
        name: value
        for name, value in samples.items()
        if name.split("{")[0].endswith(("_total", "_count", "_bucket"))
    }
    fallen = {n: (v, counters.get(n)) for n, v in seen.items() if counters.get(n, -1.0) < v}
    assert fallen == {}
    return counters


def test_a_deleted_application_is_gone_from_every_worker_at_once(app: Cluster) -> None:
    for round_ in range(5):
        name = f"brief{round_}"
        app.connection.register_application(name, "doubles", f"default {round_}", 100_000)
        statuses = [app.post(name, input=[1.0]).status_code for _ in range(SCRAPES)]
        assert statuses == [200] * SCRAPES
        app.connection.unregister_application(name)
        statuses = [app.post(name, input=[1.0]).status_code for _ in range(SCRAPES)]
        assert statuses == [404] * SCRAPES


def test_a_changed_model_is_in_force_on_every_worker_when_the_call_returns(app: Cluster) -> None:
    connection = app.connection
    connection.register_application("tags", "doubles", "DEFAULT", 2_000_000)
    for version in ("1", "2"):
        python_deployer.deploy_python_closure(
            connection, "tag", version, "doubles", models.tagged(f"v{version}")
        )
    connection.link_model_to_app("tags", "tag")
    for version in ("1", "2", "1", "2"):
        connection.set_model_version("tag", version)
        # Equal inputs, so that a stale cache would show.
        outputs = {app.predict("tags", input=[7.0])["output"] for _ in range(SCRAPES)}
        assert outputs == {f"v{version}/7.0"}
    connection.stop_versioned_models({"tag": ["1"]})
    refused = [app.post("tags", input=[7.0], version="1") for _ in range(SCRAPES)]
    for answer in refused:
        assert answer.status_code == 400 or answer.json()["default"] is True, answer.text
    connection.unlink_model_from_app("tags", "tag")
    answers = [app.predict("tags", input=[7.0]) for _ in range(SCRAPES)]
    assert {answer["output"] for answer in answers} == {"DEFAULT"}


def test_two_clusters_side_by_side(app: Cluster, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        other = stack.enter_context(local_cluster(tmp_path, workers=2))
        python_deployer.create_endpoint(
            other.connection, "app", "doubles", models.tagged("other"), slo_micros=2_000_000
        )
        load = OpenLoop(
            app.connection.get_query_addr(), "app", 100.0, lambda n: [float(n)], keep_alive=False
        )
        with load as traffic:
            for number in range(30):
                answer: dict[str, Any] = other.predict("app", input=[float(number)])
                assert answer["output"] == f"other/{float(number)}"
            other.connection.unregister_application("app")
            other.connection.stop_all()
            start = len(traffic.samples)
            eventually(lambda: len(traffic.samples) > start + 50, "more queries")
    assert [s for s in traffic.samples if not s.answered or s.broken] == []
    assert [s for s in traffic.samples if s.body["output"] != 2.0 * s.number] == []
    assert app.connection.get_all_apps() == ["app"]
