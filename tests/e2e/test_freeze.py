"""Processes that hang instead of dying, and a disk that is full, under open-loop load."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from clipper.deployers import python as python_deployer
from clipper.errors import ClipperException
from tests.e2e.clusters import Cluster, eventually, local_cluster

from . import models
from .open_loop import OpenLoop, Sample

SLO_S = 0.5
LARGEST_BATCHES = 32
"""Queries that one replica can hold at these loads: two batches."""


def serve(cluster: Cluster, func: models.Predict, replicas: int = 1) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", func,
        default_output="DEFAULT", slo_micros=int(SLO_S * 1e6), num_replicas=replicas,
    )  # fmt: skip


def load(cluster: Cluster, rate_per_s: float = 150.0) -> OpenLoop:
    return OpenLoop(
        cluster.connection.get_query_addr(), "app", rate_per_s, lambda n: [float(n), 1.0]
    )


def more_answers(traffic: OpenLoop, count: int) -> None:
    start = len(traffic.samples)
    eventually(
        lambda: sum(sample.answered for sample in traffic.samples[start:]) >= count, "more answers"
    )


def check(samples: list[Sample]) -> list[Sample]:
    """Assert that answers are right and defaults explained; return the defaults."""
    assert {sample.status for sample in samples} == {200}
    assert [s for s in samples if s.answered and s.body["output"] != 2.0 * s.number] == []
    missed = [sample for sample in samples if sample.defaulted]
    assert all(s.reason and s.body["default_explanation"] for s in missed)
    # A default is no excuse to be slow.
    assert max(sample.latency_s for sample in samples) < SLO_S + 0.5
    return missed


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_model_that_holds_the_interpreters_lock_is_busy_and_not_dead(cluster: Cluster) -> None:
    python_deployer.create_endpoint(
        cluster.connection, "app", "doubles", models.lock_holder(4.0),
        default_output="DEFAULT", slo_micros=20_000_000,
    )  # fmt: skip
    before = cluster.connection.get_all_model_replicas()

    reply = cluster.predict("app", input=[3.0])

    assert (reply["default"], reply["output"]) == (False, 6.0)
    assert cluster.connection.get_all_model_replicas() == before


def test_one_replica_of_two_is_stopped_and_goes_on(cluster: Cluster) -> None:
    serve(cluster, models.doubler(0.002), replicas=2)
    pids = cluster.pids("model:app:1")
    with load(cluster) as traffic:
        more_answers(traffic, 100)
        with stopped(pids[0]):
            eventually(
                lambda: cluster.ready_replicas("app", "1") == 1, "keepalive notices", timeout_s=6.0
            )
            noticed = len(traffic.samples)
            more_answers(traffic, 100)
        eventually(lambda: cluster.ready_replicas("app", "1") == 2, "it is back")
        back = len(traffic.samples)
        more_answers(traffic, 100)

    missed = check(traffic.samples)
    assert len(missed) <= LARGEST_BATCHES, [(s.number, s.reason) for s in missed]
    assert [s for s in missed if s.number >= back] == []
    assert [s for s in missed if noticed < s.number < back] == []
    assert cluster.pids("model:app:1") == pids, "it was stopped, not dead"


def hangs_in(path: str) -> models.Predict:
    """Return a model that computes for ever in the process whose number the file names."""

    def predict(inputs: Any) -> list[Any]:
        import os
        from pathlib import Path

        while os.path.exists(path) and Path(path).read_text() == str(os.getpid()):
            pass
        return [float(x[0]) * 2 for x in inputs]

    return predict


def test_user_code_that_never_returns_leaves_the_other_replica_serving(
    cluster: Cluster, tmp_path: Path
) -> None:
    hanging = tmp_path / "pid"
    serve(cluster, hangs_in(str(hanging)), replicas=2)
    pids = cluster.pids("model:app:1")
    with load(cluster) as traffic:
        more_answers(traffic, 100)
        hanging.write_text(str(pids[0]))
        more_answers(traffic, 500)
    missed = check(traffic.samples)
    assert len(missed) <= LARGEST_BATCHES, [(s.number, s.reason) for s in missed]
    # The process that computes for ever must not keep the cluster from being emptied.
    started_s = time.monotonic()
    cluster.connection.stop_models("app")
    assert time.monotonic() - started_s < 30.0


def test_the_store_hangs(cluster: Cluster) -> None:
    serve(cluster, models.doubler(), replicas=2)
    replicas = cluster.pids("model:app:1")
    with load(cluster) as traffic:
        more_answers(traffic, 100)
        with stopped(cluster.pids("store")[0]):
            for _ in range(2):
                started_s = time.monotonic()
                with pytest.raises(ClipperException, match="store"):
                    cluster.connection.register_application("later", "doubles", "x", 100_000)
                assert time.monotonic() - started_s < 10.0
            started_s = time.monotonic()
            with pytest.raises(ClipperException, match="store"):
                cluster.connection.get_all_apps()
            assert time.monotonic() - started_s < 10.0
            assert cluster.connection.inspect_instance()
            more_answers(traffic, 300)
        eventually(lambda: registers(cluster, "after"), "the store takes writes again")
        more_answers(traffic, 100)
    assert check(traffic.samples) == []
    assert cluster.pids("model:app:1") == replicas
    eventually(lambda: cluster.ready_replicas("app", "1") == 2, "the leases are back")
    assert cluster.predict("after", input=[1.0])["default"] is True


def registers(cluster: Cluster, name: str) -> bool:
    try:
        cluster.connection.register_application(name, "doubles", "x", 100_000)
    except ClipperException as error:
        return "already exists" in error.msg
    return True


def test_a_frontend_worker_hangs_and_management_goes_on(cluster: Cluster) -> None:
    """A worker that is stopped loses its lease, and no write waits for it any more."""
    serve(cluster, models.doubler())
    worker = psutil.Process(cluster.pids("query-frontend")[0]).children()[0].pid
    with stopped(worker):
        started_s = time.monotonic()
        cluster.connection.register_application("while-stopped", "doubles", "x", 100_000)
        assert time.monotonic() - started_s < 10.0
    eventually(
        lambda: cluster.post("while-stopped", input=[1.0]).status_code == 200, "it is in force"
    )
    eventually(lambda: cluster.predict("app", input=[2.0])["output"] == 4.0, "it serves again")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    store = tmp_path / "state" / "store"
    store.mkdir(parents=True, mode=0o700)
    (tmp_path / "state").chmod(0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(store)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield store
    subprocess.run(["umount", "-l", str(store)], check=True)


def test_the_stores_disk_is_full(small_disk: Path, tmp_path: Path) -> None:
    ballast = small_disk / "ballast"
    with local_cluster(tmp_path) as cluster:
        serve(cluster, models.doubler())
        with load(cluster, 50.0) as traffic:
            more_answers(traffic, 30)
            fill(ballast)
            with pytest.raises(ClipperException) as refused:
                register_many(cluster)
            assert "store" in refused.value.msg
            assert "disk" in refused.value.msg.lower() or "space" in refused.value.msg.lower()
            more_answers(traffic, 100)
            ballast.unlink()
            eventually(lambda: registers(cluster, "after"), "writes work again")
            more_answers(traffic, 30)
        assert check(traffic.samples) == []
        assert cluster.predict("after", input=[1.0])["default"] is True


def register_many(cluster: Cluster) -> None:
    for number in range(200):
        cluster.connection.register_application(f"app{number}", "doubles", "x" * 2000, 100_000)


def fill(path: Path) -> None:
    """Write until the file system is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
