"""The whole autoscaler: a store, frontends' metrics and an API server, over real connections."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clipper.datatypes import InputType, VersionedModelId
from clipper.management.app import create_app
from clipper.management.autoscaling.frontends import FrontendMetricsReader
from clipper.management.autoscaling.kubernetes import ClusterAddress, KubernetesCluster
from clipper.management.autoscaling.loop import Autoscaler, tightest_objective_s
from clipper.management.autoscaling.settings import ScalingSettings
from clipper.management.autoscaling.start import running_autoscaler
from clipper.management.settings import ManagementSettings
from clipper.metrics import FrontendMetrics, render_prometheus
from clipper.store.base import ApplicationRecord, ConfigSnapshot, WorkerLease
from tests.fakes.fake_kubernetes_api import FakeKubernetesApi
from tests.fakes.fake_selection_store import FakeSelectionStore
from tests.fakes.fake_store import FakeStore

MODEL = {"model_name": "m", "model_version": "1", "autoscale_min": "1", "autoscale_max": "8"}


@dataclasses.dataclass
class _Times:
    queue_s: float = 0.0
    compute_s: float = 0.02


class Frontend:
    """Shows real metrics on a real port; the test says what it serves."""

    def __init__(self) -> None:
        self.port = 0
        self.restart()

    def restart(self) -> None:
        self.metrics = FrontendMetrics(lambda: 0.0, "1")
        self.model = self.metrics.model("m", "1")

    def serve(self, queries: int) -> None:
        """Compute single queries of 20 ms."""
        for _ in range(queries):
            self.model.cache_miss()
            self.model.sent([0.001], [0.1], cap=1)
            self.model.answered(1, _Times(), 0.03)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"GET /metrics ")
        body = render_prometheus(self.metrics.snapshot())
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        writer.write(body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@dataclasses.dataclass
class Scene:
    """One cluster; `tick` lets five seconds pass and the autoscaler look."""

    api: FakeKubernetesApi
    store: FakeStore
    frontend: Frontend
    autoscaler: Autoscaler
    now_s: float = 100.0

    async def tick(self, queries: int = 0) -> int:
        self.now_s += 5.0
        self.frontend.serve(queries)
        await self.autoscaler.tick()
        return self.api.replicas("m-1")

    async def shown(self) -> dict[str, Any]:
        app = create_app(
            self.store,
            FakeSelectionStore(),
            ManagementSettings(),
            self.autoscaler,
            clock=lambda: self.now_s,
        )
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://mf") as client:
            answer = await client.post("/admin/get_autoscaling")
        assert answer.status_code == 200
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first")
    return path


@pytest.fixture
def api() -> Iterator[FakeKubernetesApi]:
    served = FakeKubernetesApi()
    served.add("m-1", **MODEL)
    with served.serving():
        yield served


@pytest.fixture
def store() -> FakeStore:
    fake = FakeStore()
    fake.leases = {f"qf-{i}": WorkerLease(f"qf-{i}", f"127.0.0.1:{7000 + i}", 1, 1) for i in (0, 1)}
    fake.snapshot = ConfigSnapshot(
        1, {"a": ApplicationRecord("a", InputType.DOUBLES, "0", 100_000)}, links={"a": ("m",)}
    )
    return fake


@pytest.fixture
async def scene(api: FakeKubernetesApi, store: FakeStore, token: Path) -> AsyncIterator[Scene]:
    frontend = Frontend()
    async with frontend.listening():
        cluster = KubernetesCluster(ClusterAddress(api.url, "prod", "c", token), timeout_s=2.0)
        reader = FrontendMetricsReader(frontend.port, timeout_s=2.0)
        now: Callable[[], float] = lambda: made.now_s  # noqa: E731
        made = Scene(
            api, store, frontend, Autoscaler(store, cluster, reader, ScalingSettings(), now)
        )
        yield made
        await reader.close()
        await cluster.close()


async def test_a_load_step_is_followed_up_and_down(scene: Scene) -> None:
    assert [await scene.tick(50) for _ in range(3)] == [1, 1, 1]
    assert [await scene.tick(600) for _ in range(3)][-1] == 4  # 2.4 busy, at most 70 % of each
    scene.api.deployments["m-1"]["status"] = {"readyReplicas": 4}
    numbers = [await scene.tick(50) for _ in range(60)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 1


async def test_the_last_decision_is_shown(scene: Scene) -> None:
    await scene.tick(50)
    await scene.tick(600)
    await scene.tick(600)
    scene.now_s += 2.0
    shown = await scene.shown()
    [version] = shown["versions"]
    assert (shown["enabled"], shown["fault"]) == (True, "")
    assert version.pop("reason").startswith("the load keeps 2.4 replicas busy")
    assert version == {
        "model_name": "m",
        "model_version": "1",
        "min": 1,
        "max": 8,
        "current": 1,
        "ready": 1,
        "wanted": 4,
        "age_s": 2.0,
        "changed_age_s": 2.0,
    }


async def test_without_an_autoscaler_the_operation_says_so(store: FakeStore) -> None:
    transport = httpx.ASGITransport(create_app(store, FakeSelectionStore(), ManagementSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://mf") as client:
        answer = await client.post("/admin/get_autoscaling")
    assert answer.json() == {"enabled": False, "fault": "", "versions": []}


async def test_an_api_server_that_is_down_is_logged_once_and_tried_again(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await scene.tick(50)
    scene.api.refusal = (503, "the server is currently unable to handle the request")
    for _ in range(4):
        assert await scene.tick(600) == 1
    assert "503" in (await scene.shown())["fault"]
    scene.api.refusal = None
    for _ in range(3):
        await scene.tick(600)
    assert scene.api.replicas("m-1") == 4
    messages = [one.getMessage() for one in caplog.records]
    assert sum("autoscaling holds" in message for message in messages) == 1
    assert sum("autoscaling goes on" in message for message in messages) == 1


async def test_a_store_that_is_away_holds_everything(scene: Scene) -> None:
    await scene.tick(50)
    scene.store.up = False
    assert [await scene.tick(600) for _ in range(3)] == [1, 1, 1]
    assert "taken away" in (await scene.shown())["fault"]


async def test_a_frontend_that_does_not_show_its_metrics_holds_everything(scene: Scene) -> None:
    await scene.tick(50)
    scene.store.leases["new"] = WorkerLease("new", "127.0.0.9:7000", 1, 1)
    assert [await scene.tick(600) for _ in range(3)] == [1, 1, 1]
    assert "127.0.0.9" in (await scene.shown())["fault"]
    [version] = (await scene.shown())["versions"]
    assert "no complete measurements" in version["reason"]


async def test_a_frontend_that_restarted_is_no_fall_of_the_load(scene: Scene) -> None:
    await scene.tick(500)
    scene.frontend.restart()
    await scene.tick(10)
    [version] = (await scene.shown())["versions"]
    assert "no complete measurements" in version["reason"]


async def test_no_living_frontend_is_no_load_of_zero(scene: Scene) -> None:
    scene.api.touch("m-1", replicas=3)
    scene.store.leases.clear()
    assert {await scene.tick() for _ in range(30)} == {3}


async def test_a_version_scaled_to_zero_stays_so(scene: Scene) -> None:
    scene.api.touch("m-1", replicas=0)
    assert {await scene.tick(600) for _ in range(5)} == {0}


async def test_a_version_that_is_scaled_no_more_is_forgotten(scene: Scene) -> None:
    await scene.tick(50)
    del scene.api.deployments["m-1"]["metadata"]["annotations"]["ai.clipper/autoscale-min"]
    del scene.api.deployments["m-1"]["metadata"]["annotations"]["ai.clipper/autoscale-max"]
    await scene.tick(600)
    assert (await scene.shown())["versions"] == []


async def test_an_unexpected_answer_does_not_end_the_scaling(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    await scene.tick(50)
    scene.api.deployments["m-1"]["status"] = {"readyReplicas": "odd"}
    for _ in range(3):
        await scene.tick(50)
    assert "odd" in (await scene.shown())["fault"]
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    scene.api.deployments["m-1"]["status"] = {"readyReplicas": 1}
    for _ in range(3):
        await scene.tick(600)
    assert scene.api.replicas("m-1") == 4


async def test_it_runs_beside_the_server_and_ends_with_it(
    api: FakeKubernetesApi, store: FakeStore, token: Path
) -> None:
    frontend = Frontend()
    async with frontend.listening():
        settings = ScalingSettings(interval_s=0.01)
        address = ClusterAddress(api.url, "prod", "c", token)
        async with running_autoscaler(store, address, frontend.port, settings) as autoscaler:
            for _ in range(500):
                if VersionedModelId("m", "1") in autoscaler.decisions:
                    break
                await asyncio.sleep(0.01)
            assert VersionedModelId("m", "1") in autoscaler.decisions
    assert autoscaler.fault == ""


def test_the_objective_is_the_tightest_of_the_applications_that_use_the_model() -> None:
    applications = {
        name: ApplicationRecord(name, InputType.DOUBLES, "0", micros)
        for name, micros in (("a", 50_000), ("b", 20_000), ("c", 1_000))
    }
    snapshot = ConfigSnapshot(1, applications, links={"a": ("m",), "b": ("x", "m")})
    assert tightest_objective_s(snapshot, "m") == pytest.approx(0.02)
    assert tightest_objective_s(snapshot, "unlinked") is None
