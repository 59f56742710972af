"""The management frontend as an ASGI application (spec §3).

Answers are as the original's: write operations and errors speak plain text, all under the content
type application/json. Unknown paths and wrong methods, where the original dropped the connection,
get a JSON object (spec §14, A1).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import clipper
from clipper.errors import ClipperException, InvalidRequest, NotInForce, StoreUnavailable
from clipper.management.applications import application_routes
from clipper.management.autoscaling.loop import Autoscaler
from clipper.management.autoscaling.routes import autoscaling_routes
from clipper.management.calls import Calls, json_response, text_response
from clipper.management.containers import container_routes
from clipper.management.links import link_routes
from clipper.management.models import model_routes
from clipper.management.selection import selection_routes
from clipper.management.settings import ManagementSettings
from clipper.store.base import ConfigStore
from clipper.store.selection import SelectionStore

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[ClipperException], int], ...] = (
    (InvalidRequest, 400),
    (StoreUnavailable, 503),
    (NotInForce, 504),
    (ClipperException, 500),
)


def create_app(
    store: ConfigStore,
    selection: SelectionStore,
    settings: ManagementSettings,
    autoscaler: Autoscaler | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """Return the management application on two stores, which the caller opens and closes.

    ``autoscaler`` is shown by its operation; whoever made it runs it, and on this ``clock``.
    """
    app = FastAPI(
        title="Clipper management frontend",
        description="Registers applications and models and links them.",
        version=clipper.__version__,
        redirect_slashes=False,
    )
    calls = Calls(store, settings)
    for routes in (application_routes, link_routes, model_routes, container_routes):
        app.include_router(routes(calls))
    app.include_router(selection_routes(calls, selection))
    app.include_router(autoscaling_routes(autoscaler, clock))
    _add_health_routes(app, store)
    app.add_exception_handler(ClipperException, _answer_clipper_exception)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unexpected)
    return app


def _add_health_routes(app: FastAPI, store: ConfigStore) -> None:
    @app.get("/admin/ping", tags=["health"])
    async def ping() -> Response:
        """Answer PONG."""
        return text_response("PONG")

    @app.get("/livez", tags=["health"])
    async def livez() -> Response:
        """Answer while the process runs."""
        return json_response({"status": "alive"})

    @app.get("/readyz", tags=["health"])
    async def readyz() -> Response:
        """Answer 200 while the configuration store can be read, 503 otherwise."""
        await store.read_snapshot()
        return json_response({"status": "ready"})


async def _answer_clipper_exception(request: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    if status >= 500:
        log.warning("%s: %s", request.url.path, error)
    return text_response(str(error), status)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code not in (404, 405):
        return text_response(error.detail, error.status_code)
    method, path = request.method, request.url.path
    cause = (
        f"There is no operation {path}; the operations are listed at /docs"
        if error.status_code == 404
        else f"{path} does not take {method}"
    )
    content = {"error": error.detail, "cause": cause}
    return JSONResponse(content, error.status_code, headers=error.headers)


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return text_response("The client went away", 400)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    return text_response("An unexpected error occurred!", 500)
