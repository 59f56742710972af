"""Application, model and link in one step, or none of them (defect D18)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions


class EndpointOptions(DeployOptions, total=False):
    """Keyword-only options of every ``create_endpoint``: the application's and the model's."""

    on_default: str
    isolate_cache: bool
    policy: str | None
    policy_options: Mapping[str, Any] | None
    min_confidence: float | None
    calibration: str | None
    loss: str | None
    loss_scale: float | None
    costs: Mapping[str, float] | None


def deploy_options(options: EndpointOptions) -> DeployOptions:
    """The part of the options that is the model's."""
    names = DeployOptions.__annotations__
    return cast(DeployOptions, {key: value for key, value in options.items() if key in names})


def create(
    clipper_conn: ClipperConnection,
    app: tuple[str, str, str, int],
    model_name: str,
    version: str,
    options: EndpointOptions,
    deploy: Callable[..., None],
) -> None:
    """Register the application, run ``deploy``, link; undo everything when a step fails.

    Args:
        app: name, input type, default output and objective in microseconds.
        deploy: called with the part of the options that is the model's.
    """
    app_name = app[0]
    clipper_conn.register_application(
        *app,
        on_default=options.get("on_default", "output"),
        isolate_cache=options.get("isolate_cache", False),
        policy=options.get("policy"),
        policy_options=options.get("policy_options"),
        min_confidence=options.get("min_confidence"),
        calibration=options.get("calibration"),
        loss=options.get("loss"),
        loss_scale=options.get("loss_scale"),
        costs=options.get("costs"),
    )
    deployed = False
    try:
        deploy(**deploy_options(options))
        deployed = True
        clipper_conn.link_model_to_app(app_name, model_name)
    except BaseException:
        _attempt(clipper_conn, lambda: clipper_conn.unregister_application(app_name))
        if deployed:
            deployed_version = {model_name: [version]}
            _attempt(clipper_conn, lambda: clipper_conn.stop_versioned_models(deployed_version))
        raise


def _attempt(clipper_conn: ClipperConnection, undo: Callable[[], None]) -> None:
    """Run a step of the clean-up; its failure must not hide the one that led here."""
    try:
        undo()
    except Exception as error:
        clipper_conn.logger.error(f"Clean-up after a failed create_endpoint failed: {error}")
