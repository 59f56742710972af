"""Operations on links between applications and models."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clipper.management import service, views
from clipper.management.calls import Calls, documented, json_response
from clipper.management.schemas import LinkedApp, ModelLinks


def link_routes(calls: Calls) -> APIRouter:
    """Return the routes that link, unlink and list links."""
    router = APIRouter(prefix="/admin", tags=["links"])

    @router.post("/add_model_links", **documented(ModelLinks, "Success sentence"))
    async def add_model_links(request: Request) -> Response:
        """Link one model to an application."""
        body = await calls.body(request, ModelLinks)
        return await calls.write(lambda snapshot: service.add_model_links(snapshot, body))

    @router.post("/delete_model_links", **documented(ModelLinks, "Success!"))
    async def delete_model_links(request: Request) -> Response:
        """Unlink models from an application."""
        body = await calls.body(request, ModelLinks)
        return await calls.write(lambda snapshot: service.delete_model_links(snapshot, body))

    @router.post("/get_linked_models", **documented(LinkedApp, "Names of the linked models"))
    async def get_linked_models(request: Request) -> Response:
        """List the models that an application is linked to."""
        body = await calls.body(request, LinkedApp)
        return json_response(views.linked_models(await calls.store.read_snapshot(), body.app_name))

    return router
