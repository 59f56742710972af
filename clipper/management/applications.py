"""Operations on applications."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from clipper.management import app_updates, service, views
from clipper.management.calls import Calls, documented, json_response, text_response
from clipper.management.schemas import AddApp, AppName, UpdateApp, UserState, Verbose


def application_routes(calls: Calls) -> APIRouter:
    """Return the routes that write and read applications."""
    router = APIRouter(prefix="/admin", tags=["applications"])

    @router.post("/add_app", **documented(AddApp, "Success sentence"))
    async def add_app(request: Request) -> Response:
        """Register an application."""
        body = await calls.body(request, AddApp)
        return await calls.write(lambda snapshot: service.add_app(snapshot, body))

    @router.post("/update_app", **documented(UpdateApp, "Success sentence"))
    async def update_app(request: Request) -> Response:
        """Change settings of an application; links and what it has learned stay."""
        body = await calls.body(request, UpdateApp)
        return await calls.write(lambda snapshot: app_updates.update_app(snapshot, body))

    @router.post("/delete_app", **documented(AppName, "Success sentence"))
    async def delete_app(request: Request) -> Response:
        """Delete an application, its links and its selection state."""
        body = await calls.body(request, AppName)
        return await calls.write(lambda snapshot: service.delete_app(snapshot, body))

    @router.post("/get_all_applications", **documented(Verbose, "Names or application objects"))
    async def get_all_applications(request: Request) -> Response:
        """List the applications."""
        body = await calls.body(request, Verbose)
        return json_response(views.applications(await calls.store.read_snapshot(), body.verbose))

    @router.post("/get_application", **documented(AppName, "Application object, or {}"))
    async def get_application(request: Request) -> Response:
        """Describe one application."""
        body = await calls.body(request, AppName)
        return json_response(views.application(await calls.store.read_snapshot(), body.name))

    @router.post("/get_state", **documented(UserState, "The application's default output, as text"))
    async def get_state(request: Request) -> Response:
        """Show an application's default output; kept for old clients."""
        body = await calls.body(request, UserState)
        return text_response(views.default_state(await calls.store.read_snapshot(), body.app_name))

    return router
