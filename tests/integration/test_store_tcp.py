"""The store command over TCP: password, clean end, one address after another."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from clipper.errors import StoreUnavailable
from clipper.store.base import Change
from clipper.store.redis import RedisSettings, RedisStore
from tests.e2e.clusters import eventually
from tests.fakes.frontend_pool import free_ports

Serve = Callable[..., "contextlib.AbstractContextManager[subprocess.Popen[bytes]]"]


@contextlib.contextmanager
def store_process(
    data_dir: Path, port: int, host: str = "127.0.0.1", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m clipper.daemon store``, killed at the end if it still runs."""
    words = ["store", "--data-dir", str(data_dir), "--host", host, "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "clipper.daemon", *words],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
    )
    try:
        eventually(lambda: _accepts(host, port), "the store listens")
        yield process
    finally:
        process.kill()
        process.wait()


def _accepts(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def test_the_password_is_asked_for_and_shows_nowhere(tmp_path: Path) -> None:
    [port], secret = free_ports(1), 'a"b c\\ü\n#'
    with store_process(tmp_path, port, CLIPPER_REDIS_PASSWORD=secret) as process:
        with pytest.raises(redis.AuthenticationError), redis.Redis(port=port) as stranger:
            stranger.ping()
        with redis.Redis(port=port, password=secret) as friend:
            assert friend.ping()
        proc = Path(f"/proc/{process.pid}")
        assert b"CLIPPER_REDIS_PASSWORD" not in (proc / "environ").read_bytes()
        assert b"c\\" not in (proc / "cmdline").read_bytes()


def test_without_a_password_others_than_this_machine_are_let_in(tmp_path: Path) -> None:
    """The server's protected mode, its default, would answer them with -DENIED."""
    [port] = free_ports(1)
    with store_process(tmp_path, port, "0.0.0.0"), redis.Redis(port=port) as client:
        assert client.config_get("protected-mode") == {"protected-mode": "no"}


def test_sigterm_ends_cleanly_and_keeps_the_data(tmp_path: Path) -> None:
    [port] = free_ports(1)
    with store_process(tmp_path, port) as process, redis.Redis(port=port) as client:
        client.set("name", "value")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    with store_process(tmp_path, port), redis.Redis(port=port) as client:
        assert client.get("name") == b"value"


async def test_a_server_that_comes_back_at_another_address_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container does that was made anew: same name, new address."""
    [port] = free_ports(1)
    address = "127.0.0.2"
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        if host != "redis-1":
            return await look_up(host, *arguments, **options)
        if not address:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await look_up(address, *arguments, **options)

    monkeypatch.setattr(loop, "getaddrinfo", resolve)
    store = RedisStore(f"redis://redis-1:{port}/0", "test", RedisSettings(event_silence_s=0.1))
    seen = 0

    async def watch() -> None:
        nonlocal seen
        async for _ in store.changes():
            seen += 1

    watching = asyncio.create_task(watch())
    try:
        with store_process(tmp_path, port, "127.0.0.2"):
            await store.update(lambda _: Change(links={"a": ("m",)}))
        address = ""
        with pytest.raises(StoreUnavailable, match="name resolution"):
            await store.read_snapshot()
        with store_process(tmp_path, port, "127.0.0.3"):
            address, before = "127.0.0.3", seen
            assert (await store.read_snapshot()).links == {"a": ("m",)}
            async with asyncio.timeout(20):
                while seen == before:  # noqa: ASYNC110 - the watcher counts
                    await asyncio.sleep(0.01)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await store.close()
