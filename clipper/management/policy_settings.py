"""What a registration says of the model selection layer: checked, refused by the field's name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from clipper.datatypes import DEFAULT_POLICY
from clipper.errors import InvalidRequest
from clipper.management.schemas import AddApp, UpdateApp
from clipper.selection.calibration import Calibration
from clipper.selection.catalog import find_policy, make_policy
from clipper.selection.losses import LossKind
from clipper.selection.options import decode_options
from clipper.store.base import ApplicationRecord

MAX_LINKED_MODELS = 64

PolicyFields = dict[str, Any]


def policy_fields(request: AddApp) -> PolicyFields:
    """Return the fields of an `ApplicationRecord` that the selection layer reads.

    Raises:
        InvalidRequest: naming the field that is wrong.
    """
    options = _object("policy_options", request.policy_options)
    policy = find_policy(DEFAULT_POLICY if request.policy is None else request.policy)
    decode_options(policy, options)
    return {
        "policy": policy.name,
        "policy_options": options,
        "min_confidence": _confidence(request.min_confidence),
        "calibration": _one_of("calibration", request.calibration, tuple(Calibration)),
        "loss": _one_of("loss", request.loss, tuple(LossKind)),
        "loss_scale": _scale(request.loss_scale),
        "costs": _costs(request.costs),
    }


def updated_policy_fields(record: ApplicationRecord, request: UpdateApp) -> PolicyFields:
    """Return the same fields of an application that exists, with what ``request`` changes.

    Raises:
        InvalidRequest: naming the field that is wrong.
    """
    changed = _object("policy_options", request.policy_options)
    policy = find_policy(record.policy if request.policy is None else request.policy)
    options = _merged({} if policy.name != record.policy else record.policy_options, changed)
    decode_options(policy, options)
    fields: PolicyFields = {
        "policy": policy.name,
        "policy_options": options,
        "costs": _costs(_merged(record.costs, _object("costs", request.costs))),
    }
    if request.min_confidence is not None:
        # 0 is how an update says that no confidence is asked for any more.
        fields["min_confidence"] = _confidence(request.min_confidence) or None
    if request.calibration is not None:
        fields["calibration"] = _one_of("calibration", request.calibration, tuple(Calibration))
    return fields


def _merged(present: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, the changed ones winning; null takes an entry away."""
    return {name: value for name, value in {**present, **changed}.items() if value is not None}


def check_links(record: ApplicationRecord, names: Sequence[str]) -> None:
    """Check all models that an application with a policy would be linked to.

    Raises:
        InvalidRequest: there are too many, or the policy's options cannot go with them.
    """
    if len(names) > MAX_LINKED_MODELS:
        raise InvalidRequest(
            f"Application '{record.name}' would be linked to {len(names)} models; at most "
            f"{MAX_LINKED_MODELS} can be."
        )
    make_policy(record.policy, record.policy_options).check_arms(names)


def _object(field: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(f"{field}: expected an object, got {msgspec.json.encode(value)!r}")
    return value


def _one_of(field: str, value: str | None, known: Sequence[str]) -> str:
    if value is None:
        return str(known[0])
    if value not in known:
        raise InvalidRequest(f"{field}: '{value}' is not known; use one of: {', '.join(known)}")
    return value


def _confidence(value: float | None) -> float | None:
    if value is not None and not 0.0 <= value <= 1.0:
        raise InvalidRequest(f"min_confidence: expected a number from 0 to 1, got {value}")
    return value


def _scale(value: float | None) -> float:
    if value is None:
        return 1.0
    if not math.isfinite(value) or value <= 0:
        raise InvalidRequest(f"loss_scale: expected a number greater than 0, got {value}")
    return value


def _costs(value: object) -> dict[str, float]:
    costs = {}
    for model, cost in _object("costs", value).items():
        number = isinstance(cost, int | float) and not isinstance(cost, bool)
        if not number or not math.isfinite(cost) or cost < 0:
            raise InvalidRequest(f"costs.{model}: expected a number of at least 0, got {cost!r}")
        costs[model] = float(cost)
    return costs
