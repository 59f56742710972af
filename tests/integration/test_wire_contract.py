"""The proto file alone is enough to talk to a container: the peer shares no code with Clipper."""

from __future__ import annotations

import asyncio
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from clipper.datatypes import InputType
from tests.fakes.container_process import REPOSITORY, ContainerProcess
from tests.fakes.fake_frontend import FakeFrontend

PEER = REPOSITORY / "tests" / "fakes" / "foreign_peer.py"


@pytest.fixture(scope="module")
def stubs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    pytest.importorskip("grpc_tools")
    out = tmp_path_factory.mktemp("stubs")
    protos = REPOSITORY / "protos" / "clipper" / "v1"
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", f"-I{protos}", f"--python_out={out}"]
        + [f"--grpc_python_out={out}", "model_container.proto"],
        check=True,
        timeout=60,
    )
    return out


@pytest.fixture
def run_peer(stubs: pathlib.Path) -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def start(stubs: pathlib.Path, *arguments: str) -> subprocess.Popen[str]:
    # -I: neither PYTHONPATH nor the working directory may offer the repository's packages.
    return subprocess.Popen(
        [sys.executable, "-I", str(PEER), str(stubs), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=stubs,
    )


async def test_our_container_serves_a_foreign_frontend(
    stubs: pathlib.Path, run_peer: list[subprocess.Popen[str]]
) -> None:
    peer = start(stubs, "frontend")
    run_peer.append(peer)
    assert peer.stdout is not None
    port = int((await asyncio.to_thread(peer.stdout.readline)).split()[1])
    async with ContainerProcess(port, "sum"):
        result = await asyncio.to_thread(peer.stdout.readline)
    assert result.strip() == "OK"


async def test_a_foreign_container_serves_our_frontend(
    stubs: pathlib.Path, run_peer: list[subprocess.Popen[str]]
) -> None:
    async with FakeFrontend() as frontend:
        run_peer.append(start(stubs, "container", frontend.address, "m", "1"))
        stream = await frontend.stream()
        answer = await frontend.predict(stream, InputType.DOUBLES, [bytes(16), b""])
    assert answer == (["0.0", "0"], {})
