"""The steps that all operations share: read the body, decide, write, wait until it is in force."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from clipper.management.in_force import wait_until_in_force
from clipper.management.schemas import RequestBody, decode
from clipper.management.service import Decision
from clipper.management.settings import ManagementSettings
from clipper.store.base import Change, ConfigSnapshot, ConfigStore

log = logging.getLogger(__name__)

_Body = TypeVar("_Body", bound=RequestBody)


class Calls:
    """Effects around the pure decisions; one per application."""

    def __init__(self, store: ConfigStore, settings: ManagementSettings) -> None:
        self.store = store
        self._settings = settings
        self._workers: frozenset[str] = frozenset()
        """Those that lived at the last write."""

    async def body(self, request: Request, kind: type[_Body]) -> _Body:
        """Return the decoded request body.

        Raises:
            JsonFault: see `decode`.
            HTTPException: 413 too large, 408 too slow.
        """
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                raw = await self._bounded_body(request)
        except TimeoutError as error:
            raise HTTPException(408, "The request body did not arrive in time") from error
        return decode(raw, kind)

    async def _bounded_body(self, request: Request) -> bytes:
        self._check_size(int(request.headers.get("content-length", 0)))
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            self._check_size(len(raw))
        return bytes(raw)

    def _check_size(self, size: int) -> None:
        limit = self._settings.max_body_bytes
        if size > limit:
            raise HTTPException(413, f"The request body is larger than {limit} bytes")

    async def write(self, decide: Callable[[ConfigSnapshot], Decision]) -> Response:
        """Store what ``decide`` decides and answer once every worker has applied it.

        Raises:
            InvalidRequest: from ``decide``.
            StoreUnavailable: the store did not answer.
            NotInForce: stored, but a worker lags behind.
        """
        texts: list[str] = []

        def change_of(snapshot: ConfigSnapshot) -> Change:
            decision = decide(snapshot)
            texts.append(decision.text)  # the last one stands: a conflict repeats the decision
            return decision.change

        revision = await self.store.update(change_of)
        log.info("revision %d: %s", revision, texts[-1])
        self._workers = await wait_until_in_force(
            self.store, revision, self._settings, expected=self._workers
        )
        return text_response(texts[-1])


def text_response(text: str, status: int = 200) -> Response:
    """Return plain text under the content type that the original always declares."""
    return Response(text, status, media_type="application/json")


def json_response(content: Any) -> Response:
    """Return ``content`` as JSON."""
    return JSONResponse(content)


def documented(kind: type[RequestBody] | None, answer: str) -> dict[str, Any]:
    """Return the arguments of a route that describe it in the OpenAPI document.

    The routes take the raw request, so FastAPI cannot find this out.
    """
    errors = {
        400: {"description": "Invalid request; plain text says why"},
        503: {"description": "The configuration store cannot be reached; plain text"},
        504: {"description": "Stored, but not yet in force on a named worker; plain text"},
    }
    result: dict[str, Any] = {"responses": {200: {"description": answer}, **errors}}
    if kind is not None:
        schema = kind.model_json_schema()
        content = {"application/json": {"schema": schema}}
        result["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return result
