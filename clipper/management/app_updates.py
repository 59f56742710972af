"""What an update of an application decides: a pure function of snapshot and request.

An application is changed in place. Its registration goes on, so links, learned states, the log of
feedback and records of queries that wait for their labels all stay.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from clipper.datatypes import DEFAULT_POLICY
from clipper.errors import InvalidRequest
from clipper.management.policy_settings import check_links, updated_policy_fields
from clipper.management.schemas import UpdateApp
from clipper.management.service import Decision, checked_on_default, checked_slo_micros
from clipper.store.base import ApplicationRecord, Change, ConfigSnapshot

_FIXED = ("input_type", "loss", "loss_scale")
"""With another type linked models would not fit, with another loss what was learned would mean
something else."""


def update_app(snapshot: ConfigSnapshot, request: UpdateApp) -> Decision:
    """Change settings of an application.

    Raises:
        InvalidRequest: there is no such application, nothing is to be changed, a value is not
            valid, or the policy does not go with the models that are linked.
    """
    record = snapshot.applications.get(request.name)
    if record is None:
        raise InvalidRequest(f"Application '{request.name}' does not exist")
    _check_given(record, request)
    updated = dataclasses.replace(
        record, **_updated_fields(request), **updated_policy_fields(record, request)
    )
    links = snapshot.links.get(record.name, ())
    if updated.policy != DEFAULT_POLICY:
        check_links(updated, links)
    elif len(links) > 1:
        raise InvalidRequest(
            f"policy: '{DEFAULT_POLICY}' asks one model, and application '{record.name}' is linked "
            f"to {len(links)}. Unlink the others first, or use the policy 'static'."
        )
    return Decision(
        Change(applications={record.name: updated}),
        f"Successfully updated application with name '{record.name}'",
    )


def _check_given(record: ApplicationRecord, request: UpdateApp) -> None:
    fields = UpdateApp.model_fields
    given = {name for name in fields if getattr(request, name) is not None}
    if given == {"name"}:
        names = ", ".join(name for name in fields if name not in ("name", *_FIXED))
        raise InvalidRequest(f"Nothing to change: give at least one of {names}.")
    for name in _FIXED:
        if name in given and getattr(request, name) != getattr(record, name):
            raise InvalidRequest(
                f"{name}: it is '{getattr(record, name)}' and cannot be changed. Delete the "
                "application and register it again, which begins without what was learned."
            )


def _updated_fields(request: UpdateApp) -> dict[str, Any]:
    """Return the changed settings that the selection layer does not read."""
    fields: dict[str, Any] = {}
    if request.latency_slo_micros is not None:
        fields["latency_slo_micros"] = checked_slo_micros(request.latency_slo_micros)
    if request.default_output is not None:
        fields["default_output"] = request.default_output
    if request.on_default is not None:
        fields["on_default"] = checked_on_default(request.on_default)
    if request.isolate_cache is not None:
        fields["isolate_cache"] = request.isolate_cache
    return fields
