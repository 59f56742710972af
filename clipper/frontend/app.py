"""The ordinary FastAPI part of the query frontend: metrics, health, API document."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clipper import __version__
from clipper.frontend.openapi import PREDICT_PATHS
from clipper.metrics import Snapshot, render_json
from clipper.metrics.exposition import render_prometheus_parts

_PROMETHEUS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    merged_metrics: Callable[[], Awaitable[Snapshot]], is_ready: Callable[[], bool]
) -> FastAPI:
    """Return the application that answers everything but predictions and feedback.

    Args:
        merged_metrics: returns the metrics of all workers of this frontend together.
        is_ready: whether the configuration is loaded and the worker is not about to stop.
    """
    app = FastAPI(
        title="Clipper query frontend",
        version=__version__,
        description="Predictions within a latency objective, and feedback on them.",
    )

    @app.get("/metrics", tags=["operations"], summary="Metrics: Prometheus text, or JSON")
    async def metrics(request: Request) -> Response:
        snapshot = await merged_metrics()
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse(render_json(snapshot))
        text: list[bytes] = []
        for piece in render_prometheus_parts(snapshot):
            text.append(piece)
            await asyncio.sleep(0)  # predictions come first
        return Response(b"".join(text), media_type=_PROMETHEUS_TYPE)

    async def live() -> dict[str, bool]:
        """Answer while the process runs."""
        return {"live": True}

    async def ready() -> Response:
        """200 once applications and models are loaded; 503 before, and while stopping."""
        state = is_ready()
        return JSONResponse({"ready": state}, status_code=200 if state else 503)

    for path in ("/livez", "/v2/health/live"):
        app.get(path, tags=["health"], summary="Is the process alive?")(live)
    for path in ("/readyz", "/v2/health/ready"):
        app.get(path, tags=["health"], summary="Can it serve?", response_model=None)(ready)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        cause = f"{request.method} {request.url.path}: see /docs for what there is"
        return JSONResponse(
            {"error": str(error.detail), "cause": cause},
            status_code=error.status_code,
            headers=error.headers,
        )

    _describe_predict(app)
    return app


def _describe_predict(app: FastAPI) -> None:
    """Add the paths that are served in front of the router to the OpenAPI document."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        document = build()
        document["paths"].update(PREDICT_PATHS)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
