"""Updates of applications: what changes, what stays, and what is refused, by the field's name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from clipper.datatypes import DEFAULT_POLICY, InputType, OnDefault
from clipper.errors import InvalidRequest
from clipper.management.app_updates import update_app
from clipper.management.schemas import UpdateApp
from clipper.store.base import ApplicationRecord, Change, ConfigSnapshot

PLAIN = ApplicationRecord("plain", InputType.DOUBLES, "0", 1000, generation=3)
SPLIT = ApplicationRecord(
    "split", InputType.DOUBLES, "0", 1000, "ab",
    policy_options={"weights": {"a": 9.0, "b": 1.0}, "salt": "s"},
    min_confidence=0.5, calibration="platt", loss="absolute", loss_scale=2.0,
    costs={"a": 2.0, "b": 3.0}, generation=4,
)  # fmt: skip
SNAPSHOT = ConfigSnapshot(
    applications={"plain": PLAIN, "split": SPLIT}, links={"split": ("a", "b"), "plain": ("a",)}
)


def updated(name: str, **changes: Any) -> ApplicationRecord:
    """Return the record that an update stores, and check that it stores nothing else."""
    fields = dict.fromkeys(UpdateApp.model_fields) | {"name": name} | changes
    decision = update_app(SNAPSHOT, UpdateApp.model_construct(**fields))
    assert decision.text == f"Successfully updated application with name '{name}'"
    record = decision.change.applications[name]
    assert decision.change == Change(applications={name: record})
    assert record is not None
    return record


def test_what_is_given_changes_and_all_else_stays_the_registration_too() -> None:
    record = updated(
        "plain", default_output="", latency_slo_micros=5, on_default="error", isolate_cache=True
    )
    assert record == dataclasses.replace(
        PLAIN, default_output="", latency_slo_micros=5, on_default=OnDefault.ERROR,
        isolate_cache=True,
    )  # fmt: skip
    assert updated("split", latency_slo_micros=5) == dataclasses.replace(
        SPLIT, latency_slo_micros=5
    )


def test_options_change_one_by_one_and_null_is_their_default() -> None:
    weights = {"a": 1.0, "b": 1.0}
    record = updated("split", policy_options={"weights": weights})
    assert record.policy_options == {"weights": weights, "salt": "s"}
    record = updated("split", policy="ab", policy_options={"salt": None})
    assert record.policy_options == {"weights": {"a": 9.0, "b": 1.0}}


def test_another_policy_starts_with_its_defaults() -> None:
    assert updated("split", policy="exp3").policy_options == {}
    record = updated("split", policy="exp3", policy_options={"eta": 0.5})
    assert (record.policy, record.policy_options) == ("exp3", {"eta": 0.5})
    assert (record.min_confidence, record.calibration, record.generation) == (0.5, "platt", 4)


def test_costs_change_one_by_one_and_no_confidence_is_asked_for_with_0() -> None:
    record = updated("split", costs={"a": None, "c": 1}, min_confidence=0.0, calibration="none")
    assert record.costs == {"b": 3.0, "c": 1.0}
    assert (record.min_confidence, record.calibration) == (None, "none")


def test_what_cannot_change_may_be_repeated() -> None:
    same = {"input_type": "doubles", "loss": "absolute", "loss_scale": 2}
    assert updated("split", **same) == SPLIT


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("nobody", {"default_output": ""}, "Application 'nobody' does not exist"),
        ("plain", {}, "Nothing to change: give at least one of default_output, latency_slo"),
        ("plain", {"latency_slo_micros": 0}, "latency_slo_micros must be greater than 0"),
        ("plain", {"on_default": "shrug"}, "on_default 'shrug' is not known"),
        ("split", {"policy": "Exp3"}, "policy 'Exp3' is not known"),
        ("split", {"policy_options": {"eta": 1}}, "policy_options"),
        ("split", {"policy_options": []}, "policy_options: expected an object"),
        ("split", {"policy_options": {"weights": {"a": -1}}}, "policy_options.weights"),
        ("split", {"min_confidence": 1.5}, "min_confidence: expected a number from 0 to 1"),
        ("split", {"calibration": "magic"}, "calibration: 'magic' is not known"),
        ("split", {"costs": {"a": -1}}, "costs.a: expected a number of at least 0"),
        ("split", {"loss": "squared"}, "loss: it is 'absolute' and cannot be changed"),
        ("split", {"loss_scale": 1.0}, "loss_scale: it is '2.0' and cannot be changed"),
        ("split", {"input_type": "bytes"}, "input_type: it is 'doubles' and cannot be changed"),
        ("split", {"policy": DEFAULT_POLICY}, "asks one model, and application 'split' is linked"),
    ],
)
def test_a_wrong_update_is_refused(name: str, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        updated(name, **changes)
    assert text in caught.value.msg
