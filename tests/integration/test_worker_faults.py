"""A worker whose parts fail ends with an error, so that its supervisor starts a fresh one."""

from __future__ import annotations

import subprocess
import sys

_RUN = """
import asyncio
from clipper.frontend.worker import run_worker
from clipper.logs import setup_logging
from clipper.settings import HttpSettings, QueryFrontendSettings, WorkerSettings
from tests.fakes.fake_selection_store import FakeSelectionStore
from tests.fakes.fake_store import FakeStore

class Store(FakeStore):
    async def read_snapshot(self):
        raise ValueError("a fault that nobody foresaw")

    async def delete_lease(self, worker_id):
        await super().delete_lease(worker_id)
        print("lease deleted", flush=True)

setup_logging("test")
settings = QueryFrontendSettings(http=HttpSettings(port=0), worker=WorkerSettings(rpc_port=0))
asyncio.run(run_worker(settings, Store(), FakeSelectionStore(), None, None))
"""


def test_a_follower_that_fails_ends_the_worker_with_a_reason() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _RUN], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "the configuration is followed no more" in ended.stderr + ended.stdout
    assert "a fault that nobody foresaw" in ended.stderr + ended.stdout
    assert "lease deleted" in ended.stdout
