"""What the model selection layer has learned, for operators and for evaluation offline."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest
from clipper.management.calls import Calls, documented, json_response
from clipper.management.schemas import FeedbackLog, LinkedApp
from clipper.query.arms import ArmTable
from clipper.selection.calibration import Calibration
from clipper.selection.catalog import describe_policies
from clipper.selection.ledger import PolicySummary, open_book, summarise
from clipper.selection.policy import Arm
from clipper.store.base import ApplicationRecord, ConfigSnapshot
from clipper.store.selection import SelectionStore, StateKey

MAX_LOG_COUNT = 100_000


def selection_routes(calls: Calls, selection: SelectionStore) -> APIRouter:
    """Return the routes that read selection states and the log of feedback."""
    router = APIRouter(prefix="/admin", tags=["selection"])

    @router.post("/get_policies", **documented(None, "Policies with the schemas of their options"))
    async def get_policies() -> Response:
        """List the policies that applications can be registered with."""
        return json_response(msgspec.to_builtins(describe_policies()))

    @router.post("/get_policy", **documented(LinkedApp, "Settings, and what feedback tells"))
    async def get_policy(request: Request) -> Response:
        """Show an application's policy and how it did on labelled queries."""
        body = await calls.body(request, LinkedApp)
        snapshot = await calls.store.read_snapshot()
        record = application_named(snapshot, body.app_name)
        (state,) = await selection.read_states([StateKey(record.name, record.generation)])
        summary = summarise(
            open_book(state.values, record.policy),
            linked_arms(snapshot, record),
            record.costs,
            calibration_of(record),
        )
        return json_response(policy_object(record, state.version, summary))

    @router.post("/get_feedback_log", **documented(FeedbackLog, "Records, base64 of MessagePack"))
    async def get_feedback_log(request: Request) -> Response:
        """Return the newest labelled queries of an application, oldest first."""
        body = await calls.body(request, FeedbackLog)
        if not 0 < body.count <= MAX_LOG_COUNT:
            raise InvalidRequest(f"count: expected 1 to {MAX_LOG_COUNT}, got {body.count}")
        record = application_named(await calls.store.read_snapshot(), body.app_name)
        entries = await selection.read_feedback_log(record.name, record.generation, body.count)
        return json_response([base64.b64encode(entry).decode() for entry in entries])

    return router


def application_named(snapshot: ConfigSnapshot, name: str) -> ApplicationRecord:
    """Return the record of an application.

    Raises:
        InvalidRequest: there is none of that name.
    """
    record = snapshot.applications.get(name)
    if record is None:
        raise InvalidRequest(f"No application with name '{name}' exists.")
    return record


def linked_arms(snapshot: ConfigSnapshot, record: ApplicationRecord) -> tuple[Arm, ...]:
    """Return the serving versions of the linked models, in the order they were linked."""
    found = []
    for name in snapshot.links.get(record.name, ()):
        version = snapshot.serving_versions.get(name) or snapshot.current_versions.get(name)
        model = None if version is None else snapshot.models.get(VersionedModelId(name, version))
        if model is not None:
            found.append((model.id, model.generation))
    return ArmTable(found).arms


def calibration_of(record: ApplicationRecord) -> Calibration:
    """Return how an application calibrates; not at all, if this version does not know how."""
    known = record.calibration in tuple(Calibration)
    return Calibration(record.calibration) if known else Calibration.NONE


def policy_object(
    record: ApplicationRecord, feedback: int, summary: PolicySummary
) -> dict[str, Any]:
    """Return the object that `get_policy` answers with."""
    return {
        "app_name": record.name,
        "policy": record.policy,
        "policy_options": dict(record.policy_options),
        "min_confidence": record.min_confidence,
        "calibration": record.calibration,
        "loss": record.loss,
        "loss_scale": record.loss_scale,
        "costs": dict(record.costs),
        "feedback": feedback,
        "summary": msgspec.to_builtins(summary),
    }
