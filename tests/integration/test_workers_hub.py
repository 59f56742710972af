"""The metrics hub and its clients over a real Unix socket, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from clipper.frontend.metrics_hub import MetricsHub, MetricsHubClient
from clipper.metrics import FrontendMetrics, Snapshot, render_json
from tests.fakes.frontend_pool import REPOSITORY


@pytest.fixture
def path() -> Iterator[str]:
    """A path that is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory() as directory:
        yield str(pathlib.Path(directory) / "hub.sock")


def _measured(queries: int) -> Callable[[], Iterator[Snapshot]]:
    metrics = FrontendMetrics(asyncio.get_running_loop().time, "0")
    for _ in range(queries):
        metrics.application("a").answered(0.001)
    return metrics.snapshot_parts


def _queries(snapshot: Snapshot) -> int:
    [member] = [m for m in render_json(snapshot)["counters"] if "app:a:num_predictions" in m]
    return int(member["app:a:num_predictions"]["count"])


@contextlib.asynccontextmanager
async def _hub(path: str) -> AsyncIterator[MetricsHub]:
    hub = MetricsHub(path)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@contextlib.asynccontextmanager
async def _client(
    path: str | None, queries: int, push_interval_s: float = 60.0
) -> AsyncIterator[MetricsHubClient]:
    client = MetricsHubClient(path, _measured(queries), push_interval_s)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


def _shown(hub: MetricsHub, *families: str) -> set[str]:
    return hub.merged()["families"].keys() & set(families)


async def _until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not so after 10 s")


async def test_a_worker_without_a_hub_shows_its_own() -> None:
    async with _client(None, 3) as client:
        assert _queries(await client.merged_snapshot()) == 3


async def test_a_worker_finds_the_hub_that_comes_later_and_survives_its_end(path: str) -> None:
    async with _client(path, 3, push_interval_s=0.02) as client:
        assert _queries(await client.merged_snapshot()) == 3
        async with _hub(path) as hub:
            await _until(lambda: bool(_shown(hub, "clipper_predictions_total")))
            assert _queries(await client.merged_snapshot()) == 3
        assert _queries(await client.merged_snapshot()) == 3


async def test_the_last_words_of_a_process_count_even_when_it_was_reaped_before(
    path: str,
) -> None:
    async with _hub(path) as hub:
        await hub.worker_exited(os.getpid())
        async with _client(path, 5):
            pass
        # A gauge is shown as long as its worker is taken for alive.
        await _until(lambda: {"clipper_tasks"} == _shown(hub, "clipper_tasks", "clipper_info"))
        hub.worker_started(os.getpid())
        async with _client(path, 1) as successor:
            assert _queries(await successor.merged_snapshot()) == 6


async def test_nonsense_on_the_socket_disturbs_nobody(path: str) -> None:
    async with _hub(path), _client(path, 2) as client:
        for rubbish in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(rubbish)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 5) == b""
            writer.close()
            await writer.wait_closed()
        assert _queries(await client.merged_snapshot()) == 2


def test_the_supervisor_imports_nothing_heavy() -> None:
    code = (
        "import sys, clipper.frontend.workers; "
        "print(*{'fastapi', 'grpc', 'numpy', 'uvicorn', 'redis', 'prometheus_client'}"
        ".intersection(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0)
