"""Runs the management frontend's HTTP server."""

from __future__ import annotations

import uvicorn

from clipper.http_protocol import bounded_protocol
from clipper.management.app import create_app
from clipper.management.settings import ManagementSettings
from clipper.store.base import ConfigStore


async def serve(store: ConfigStore, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        SystemExit: the port is taken.
    """
    settings = ManagementSettings()
    config = uvicorn.Config(
        create_app(store, settings),
        host=host,
        port=port,
        http=bounded_protocol(settings.body_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    await uvicorn.Server(config).serve()
