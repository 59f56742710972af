"""Reads of the replicas and frontend workers that are alive; both come from the leases."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clipper.datatypes import VersionedModelId
from clipper.management import views
from clipper.management.calls import Calls, documented, json_response
from clipper.management.schemas import Replica, Verbose


def container_routes(calls: Calls) -> APIRouter:
    """Return the routes that list replicas and workers."""
    router = APIRouter(prefix="/admin", tags=["containers"])

    @router.post("/get_all_containers", **documented(Verbose, "name:version:replica, or objects"))
    async def get_all_containers(request: Request) -> Response:
        """List the connected replicas."""
        body = await calls.body(request, Verbose)
        found = views.containers(await calls.store.read_leases())
        return json_response(found if body.verbose else [views.container_name(c) for c in found])

    @router.post("/get_container", **documented(Replica, "Container object, or {}"))
    async def get_container(request: Request) -> Response:
        """Describe one replica."""
        body = await calls.body(request, Replica)
        model = VersionedModelId(body.model_name, body.model_version)
        leases = await calls.store.read_leases()
        return json_response(views.container(leases, model, body.replica_id))

    @router.post("/get_workers", **documented(None, "Worker objects"))
    async def get_workers() -> Response:
        """List the frontend workers and the configuration revision each has applied."""
        return json_response(views.workers(await calls.store.read_leases()))

    return router
