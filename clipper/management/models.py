"""Operations on model versions."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clipper.datatypes import VersionedModelId
from clipper.management import service, views
from clipper.management.calls import Calls, documented, json_response
from clipper.management.schemas import AddModel, ModelVersion, Verbose


def model_routes(calls: Calls) -> APIRouter:
    """Return the routes that register, switch, delete and describe model versions."""
    router = APIRouter(prefix="/admin", tags=["models"])

    @router.post("/add_model", **documented(AddModel, "Success sentence"))
    async def add_model(request: Request) -> Response:
        """Register a model version and make it the current one."""
        body = await calls.body(request, AddModel)
        return await calls.write(lambda snapshot: service.add_model(snapshot, body))

    @router.post("/set_model_version", **documented(ModelVersion, "Success sentence, or warning"))
    async def set_model_version(request: Request) -> Response:
        """Make another version of a model the current one."""
        body = await calls.body(request, ModelVersion)
        connected = views.connected_models(await calls.store.read_leases())
        return await calls.write(
            lambda snapshot: service.set_model_version(snapshot, body, connected)
        )

    @router.post("/delete_versioned_model", **documented(ModelVersion, "Success sentence"))
    async def delete_versioned_model(request: Request) -> Response:
        """Delete a model version."""
        body = await calls.body(request, ModelVersion)
        return await calls.write(lambda snapshot: service.delete_versioned_model(snapshot, body))

    @router.post("/get_all_models", **documented(Verbose, "name:version, or model objects"))
    async def get_all_models(request: Request) -> Response:
        """List the model versions."""
        body = await calls.body(request, Verbose)
        return json_response(views.models(await calls.store.read_snapshot(), body.verbose))

    @router.post("/get_model", **documented(ModelVersion, "Model object, or {}"))
    async def get_model(request: Request) -> Response:
        """Describe one model version."""
        body = await calls.body(request, ModelVersion)
        model = VersionedModelId(body.model_name, body.model_version)
        return json_response(views.model(await calls.store.read_snapshot(), model))

    return router
