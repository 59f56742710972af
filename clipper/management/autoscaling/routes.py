"""The read of the autoscaler's last decisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from clipper.management.autoscaling.loop import Autoscaler, LastDecision
from clipper.management.calls import documented, json_response


def autoscaling_routes(autoscaler: Autoscaler | None, clock: Callable[[], float]) -> APIRouter:
    """Return the route that shows what was decided last; without an autoscaler it says so."""
    router = APIRouter(prefix="/admin", tags=["containers"])

    @router.post("/get_autoscaling", **documented(None, "Whether it is on, and its decisions"))
    async def get_autoscaling() -> Response:
        """Show the autoscaler's last decision for each model version that it scales."""
        return json_response(view(autoscaler, clock()))

    return router


def view(autoscaler: Autoscaler | None, now_s: float) -> dict[str, Any]:
    """Return the object that the operation answers with."""
    if autoscaler is None:
        return {"enabled": False, "fault": "", "versions": []}
    decisions = sorted(autoscaler.decisions.items())
    return {
        "enabled": True,
        "fault": autoscaler.fault,
        "versions": [_decision(decision, now_s) for _, decision in decisions],
    }


def _decision(decision: LastDecision, now_s: float) -> dict[str, Any]:
    replicas, changed_s = decision.replicas, decision.changed_s
    return {
        "model_name": decision.model.name,
        "model_version": decision.model.version,
        "min": replicas.minimum,
        "max": replicas.maximum,
        "current": replicas.current,
        "ready": replicas.ready,
        "wanted": decision.wanted,
        "reason": decision.reason,
        "age_s": round(now_s - decision.decided_s, 1),
        "changed_age_s": None if changed_s is None else round(now_s - changed_s, 1),
    }
