"""The readiness file of a real container process follows its registrations."""

from __future__ import annotations

import asyncio
import pathlib
import signal

from clipper.datatypes import InputType
from clipper.rpc.pb import model_container_pb2 as pb
from tests.fakes.container_process import ContainerProcess
from tests.fakes.fake_frontend import FakeFrontend

COMMANDS = "tests.fakes.container_models:Commands"


async def _exists(path: pathlib.Path, wanted: bool) -> None:
    async with asyncio.timeout(20):
        while path.exists() != wanted:  # noqa: ASYNC110, ASYNC240 - another process writes it
            await asyncio.sleep(0.01)


async def test_ready_while_a_frontend_has_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ready"
    path.write_text("READY of an earlier run")
    frontend = FakeFrontend()
    frontend.refuse = pb.Refused(reason="starting", retryable=True)
    await frontend.start()
    try:
        async with ContainerProcess(frontend.port, "noop", CLIPPER_READY_FILE=str(path)):
            await frontend.until(lambda: frontend.registrations)
            assert not path.exists(), "loaded, but no frontend has accepted it"
            frontend.refuse = None
            await frontend.stream()
            await _exists(path, True)
            assert path.read_text() == "READY"
            await frontend.stop()
            await _exists(path, False)
            await frontend.start()
            await _exists(path, True)
    finally:
        await frontend.stop()


async def test_not_ready_while_draining(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "ready"
    async with (
        FakeFrontend() as frontend,
        ContainerProcess(frontend.port, COMMANDS, CLIPPER_READY_FILE=str(path)) as container,
    ):
        stream = await frontend.stream()
        await frontend.until(lambda: stream.credits == 2)
        stream.send_batch(InputType.STRINGS, [b"sleep 1"])
        await _exists(path, True)
        container.signal(signal.SIGTERM)
        await _exists(path, False)
        assert not stream.replies, "gone as soon as the end began"
        assert await container.exit_status() == 0


async def test_a_file_that_cannot_be_written_ends_the_start() -> None:
    async with ContainerProcess(1, "noop", CLIPPER_READY_FILE="/proc/ready") as container:
        assert await container.exit_status() == 1
    assert "CLIPPER_READY_FILE=/proc/ready cannot be written" in container.log
