"""Runs the management frontend's HTTP server."""

from __future__ import annotations

import socket

import uvicorn

from clipper.http_protocol import bounded_protocol
from clipper.management.app import create_app
from clipper.management.autoscaling.loop import Autoscaler
from clipper.management.settings import ManagementSettings
from clipper.store.base import ConfigStore
from clipper.store.selection import SelectionStore


async def serve(
    store: ConfigStore,
    selection: SelectionStore,
    listener: socket.socket,
    autoscaler: Autoscaler | None = None,
) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT; the stores may be away meanwhile."""
    settings = ManagementSettings()
    config = uvicorn.Config(
        create_app(store, selection, settings, autoscaler),
        http=bounded_protocol(settings.body_timeout_s),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    await uvicorn.Server(config).serve([listener])
