"""The metrics hub and its clients over a real Unix socket, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import types
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from clipper.frontend import metrics_hub, metrics_wire
from clipper.frontend.metrics_hub import MetricsHub, MetricsHubClient
from clipper.metrics import FrontendMetrics, Snapshot, render_json
from clipper.metrics.parts import split
from tests.fakes.frontend_pool import REPOSITORY

_PATIENCE_S = 10.0


@pytest.fixture
def path() -> Iterator[str]:
    """A path that is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory() as directory:
        yield str(pathlib.Path(directory) / "hub.sock")


def _counted(queries: int, apps: int = 0) -> FrontendMetrics:
    """Return what a worker with so many queries of one application, and others, has measured."""
    metrics = FrontendMetrics(asyncio.get_running_loop().time, "0")
    for number in range(apps):
        metrics.application(f"other{number}").answered(0.001)
    for _ in range(queries):
        metrics.application("a").answered(0.001)
    return metrics


def _queries(snapshot: Snapshot) -> int:
    [member] = [m for m in render_json(snapshot)["counters"] if "app:a:num_predictions" in m]
    return int(member["app:a:num_predictions"]["count"])


@contextlib.asynccontextmanager
async def _hub(path: str, refresh_timeout_s: float = 0.2) -> AsyncIterator[MetricsHub]:
    hub = MetricsHub(path, refresh_timeout_s)
    await hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


@contextlib.asynccontextmanager
async def _client(
    path: str | None,
    measured: int | Callable[[], Iterator[Snapshot]],
    push_interval_s: float = 60.0,
    ask_timeout_s: float = _PATIENCE_S,
) -> AsyncIterator[MetricsHubClient]:
    """A worker with so many queries, or with what it is given."""
    parts = _counted(measured).snapshot_parts if isinstance(measured, int) else measured
    client = MetricsHubClient(path, parts, push_interval_s, ask_timeout_s)
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


async def _push(
    writer: asyncio.StreamWriter, queries: int, parts: int | None = None, end: bool = True
) -> None:
    """Push by hand: so many of the parts, and the end if it is to come."""
    pieces = list(split(_counted(queries).snapshot(), limit=50))
    assert len(pieces) > 2
    messages: list[list[object]] = [["part", *piece] for piece in enumerate(pieces[:parts])]
    for message in [*messages, *([["push", None, len(pieces)]] if end else [])]:
        data = json.dumps(message).encode()
        writer.write(struct.pack(">I", len(data)) + data)
    await writer.drain()


@contextlib.asynccontextmanager
async def _worker_by_hand(path: str, pid: int) -> AsyncIterator[asyncio.StreamWriter]:
    _, writer = await asyncio.open_unix_connection(path)
    data = json.dumps(["hello", pid, None]).encode()
    writer.write(struct.pack(">I", len(data)) + data)
    try:
        yield writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_worker_that_dies_within_a_push_is_counted_with_the_one_before(path: str) -> None:
    async with _hub(path) as hub, _client(path, 1) as survivor:
        async with _worker_by_hand(path, 77) as writer:
            await _push(writer, 3)
            await _until(lambda: bool(_shown(hub, "clipper_predictions_total")))
            await _push(writer, 8, end=False)
        await hub.worker_exited(77)
        assert _queries(await survivor.merged_snapshot()) == 4


async def test_a_push_with_a_part_missing_is_not_taken(path: str) -> None:
    async with _hub(path) as hub, _worker_by_hand(path, 77) as writer:
        await _push(writer, 3)
        await _push(writer, 8, parts=-1)
        await _push(writer, 9, parts=2, end=False)
        async with _client(path, 10) as other:
            assert _queries(await other.merged_snapshot()) == 13
        await _push(writer, 12)
        await _until(lambda: _queries(hub.merged()) == 22)


async def test_counts_never_go_down_whatever_is_pushed_and_asked_meanwhile(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = itertools.count(1000)
    monkeypatch.setattr(metrics_hub, "os", types.SimpleNamespace(getpid=lambda: next(pids)))
    one, two = _counted(1, apps=40), _counted(1, apps=40)
    async with (
        _hub(path, refresh_timeout_s=_PATIENCE_S),
        _client(path, one.snapshot_parts, push_interval_s=0.001) as first,
        _client(path, two.snapshot_parts, push_interval_s=0.001) as second,
    ):
        before = await asyncio.gather(first.merged_snapshot(), second.merged_snapshot())
        seen = max(map(_queries, before))
        for _ in range(10):
            one.application("a").answered(0.001)
            two.application("a").answered(0.001)
            counted = seen + 2
            answers = await asyncio.gather(first.merged_snapshot(), second.merged_snapshot())
            # Everybody is asked anew, so that all that was counted before is in the sum.
            assert min(map(_queries, answers)) >= counted
            seen = max(map(_queries, answers))
        assert seen == 22


async def test_the_loop_gets_a_turn_between_two_parts(path: str) -> None:
    turns = 0
    read_at: list[int] = []
    metrics = _counted(1, apps=200)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def parts() -> Iterator[Snapshot]:
        for part in metrics.snapshot_parts():
            read_at.append(turns)
            yield part

    async with _hub(path), _client(path, parts) as client:
        counting = asyncio.create_task(count_turns())
        await client.merged_snapshot()
        counting.cancel()
        assert len(read_at) > 10
        assert len(set(read_at)) == len(read_at)


async def test_a_hub_that_does_not_read_costs_a_worker_nothing_but_the_sum(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_wire, "END_TIMEOUT_S", 0.05)
    metrics = _counted(4, apps=2000)
    connected: list[asyncio.StreamWriter] = []
    server = await asyncio.start_unix_server(lambda _, writer: connected.append(writer), path)
    async with server, _client(path, metrics.snapshot_parts, ask_timeout_s=0.05) as client:
        assert _queries(await client.merged_snapshot()) == 4
        assert connected
        for writer in connected:
            writer.transport.abort()


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
