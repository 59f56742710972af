"""What every write operation decides: pure functions of snapshot and request (spec §3.4).

Each returns the change to store and the plain-text answer, or raises InvalidRequest with the
original's text. The order of the checks is part of the interface.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Sequence

from clipper.batching.catalog import FIXED, batch_policy_names
from clipper.datatypes import (
    ADAPTIVE_BATCH_SIZE,
    DEFAULT_POLICY,
    InputType,
    OnDefault,
    VersionedModelId,
)
from clipper.errors import InvalidRequest
from clipper.management.policy_settings import check_links, policy_fields
from clipper.management.probe import check_probe_input
from clipper.management.schemas import AddApp, AddModel, AppName, ModelLinks, ModelVersion
from clipper.store.base import ApplicationRecord, Change, ConfigSnapshot, ModelRecord

_FORBIDDEN = (",", ":")


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What to store and what to answer."""

    change: Change
    text: str


def add_app(snapshot: ConfigSnapshot, request: AddApp) -> Decision:
    """Register an application. Deleting it again leaves nothing behind (design decision 19)."""
    record = application_record(request)
    if record.name in snapshot.applications:
        raise InvalidRequest(f"application '{record.name}' already exists")
    return Decision(
        Change(applications={record.name: record}),
        f"Successfully added application with name '{record.name}'",
    )


def application_record(request: AddApp) -> ApplicationRecord:
    """Return the record of a new application, or raise InvalidRequest."""
    if not request.name or "/" in request.name:
        raise InvalidRequest(
            f"'{request.name}' is not a valid application name: it is part of the URL, so it must "
            "not be empty or contain '/'"
        )
    return ApplicationRecord(
        name=request.name,
        latency_slo_micros=checked_slo_micros(request.latency_slo_micros),
        input_type=_input_type(request.input_type),
        default_output=request.default_output,
        on_default=checked_on_default(request.on_default),
        isolate_cache=bool(request.isolate_cache),
        **policy_fields(request),
    )


def checked_slo_micros(slo_micros: int) -> int:
    """Return a latency objective in microseconds; InvalidRequest unless it is above 0."""
    if slo_micros <= 0:
        raise InvalidRequest(
            f"latency_slo_micros must be greater than 0, in microseconds; got {slo_micros}"
        )
    return slo_micros


def checked_on_default(name: str | None) -> OnDefault:
    """Return what a default is answered with, ``output`` if not given; else InvalidRequest."""
    return OnDefault(_one_of("on_default", name, tuple(OnDefault)))


def delete_app(snapshot: ConfigSnapshot, request: AppName) -> Decision:
    """Delete an application with its links and its selection state."""
    if request.name not in snapshot.applications:
        raise InvalidRequest(f"Application '{request.name}' does not exist")
    return Decision(
        Change(
            applications={request.name: None},
            links={request.name: None},
            delete_state_of=(request.name,),
        ),
        f"Successfully deleted application with name '{request.name}'",
    )


def add_model_links(snapshot: ConfigSnapshot, request: ModelLinks) -> Decision:
    """Link models to an application: one, unless its policy can do with several."""
    app = snapshot.applications.get(request.app_name)
    if app is None:
        raise InvalidRequest(f"No app with name '{request.app_name}' exists.")
    for name in request.model_names:
        _check_linkable(snapshot, app, name)
    linked = snapshot.links.get(app.name, ())
    if app.policy != DEFAULT_POLICY:
        return _link_several(app, linked, request.model_names)
    model = _the_only_name(app.name, request.model_names)
    if model in linked:
        raise InvalidRequest(f"The model with name '{model}' is already linked to '{app.name}'")
    if linked:
        raise InvalidRequest(f"A model with name {linked[0]} is already linked to '{app.name}'.")
    return Decision(
        Change(links={app.name: (model,)}),
        f"Successfully linked model with name '{model}' to application '{app.name}'",
    )


def _link_several(app: ApplicationRecord, linked: Sequence[str], names: Sequence[str]) -> Decision:
    if not names:
        raise _no_name(app.name)
    for name in names:
        if name in linked or names.count(name) > 1:
            raise InvalidRequest(f"The model with name '{name}' is already linked to '{app.name}'")
    together = (*linked, *names)
    check_links(app, together)
    models = "model with name" if len(names) == 1 else "models with names"
    quoted = ", ".join(f"'{name}'" for name in names)
    return Decision(
        Change(links={app.name: together}),
        f"Successfully linked {models} {quoted} to application '{app.name}'",
    )


def _no_name(app: str) -> InvalidRequest:
    return InvalidRequest(
        f"Please provide the name of the model that you want to link to the application '{app}'"
    )


def _check_linkable(snapshot: ConfigSnapshot, app: ApplicationRecord, name: str) -> None:
    version = snapshot.current_versions.get(name)
    model = None if version is None else snapshot.models.get(VersionedModelId(name, version))
    if model is None:
        raise InvalidRequest(f"No model with name '{name}' exists.")
    if model.input_type != app.input_type:
        raise InvalidRequest(
            f"Model with name '{name}' has incompatible input_type '{model.input_type}'. "
            f"Requested app to link to has input_type '{app.input_type}'."
        )


def _the_only_name(app: str, names: Sequence[str]) -> str:
    if not names:
        raise _no_name(app)
    if len(names) > 1:
        raise InvalidRequest(
            "Applications must be linked with at most one model. Attempted to add links to "
            f"{len(names)} models."
        )
    return names[0]


def delete_model_links(snapshot: ConfigSnapshot, request: ModelLinks) -> Decision:
    """Remove links; all of the named ones or, when one does not exist, none."""
    app = request.app_name
    if app not in snapshot.applications:
        raise InvalidRequest(f"No app with name {app} exists.")
    linked = snapshot.links.get(app, ())
    for name in request.model_names:
        if name not in linked:
            raise InvalidRequest(
                f"Cannot remove nonexistent link between app {app} and model {name}"
            )
    kept = tuple(name for name in linked if name not in request.model_names)
    return Decision(Change(links={app: kept or None}), "Success!")


def add_model(snapshot: ConfigSnapshot, request: AddModel) -> Decision:
    """Register a model version and point the model to it (design decision 13)."""
    record = model_record(request)
    if record.id in snapshot.models:
        raise InvalidRequest(
            f"model with name '{record.name}' and version '{record.version}' already exists"
        )
    _check_fits_linked_apps(snapshot, record)
    return Decision(
        Change(models={record.id: record}, current_versions={record.name: record.version}),
        f"Successfully added model with name '{record.name}' and input type '{record.input_type}'",
    )


def model_record(request: AddModel) -> ModelRecord:
    """Return the record of a new model version, or raise InvalidRequest."""
    if request.batch_size <= 0 and request.batch_size != ADAPTIVE_BATCH_SIZE:
        raise InvalidRequest(
            f"The batch size must be positive or DEFAULT_BATCH_SIZE, which is {ADAPTIVE_BATCH_SIZE}"
        )
    _check_model_names(request)
    input_type = _input_type(request.input_type)
    return ModelRecord(
        name=request.model_name,
        version=request.model_version,
        input_type=input_type,
        labels=tuple(request.labels),
        container_name=request.container_name,
        model_data_path=request.model_data_path,
        batch_size=request.batch_size,
        batch_policy=_batch_policy(request),
        batch_wait_ms=_batch_wait_ms(request.batch_wait_ms),
        cache=request.cache is not False,
        probe_input=_probe_text(request.probe_input, input_type),
    )


def _check_model_names(request: AddModel) -> None:
    for what, value in (
        ("model name", request.model_name),
        ("model version", request.model_version),
        *(("label", label) for label in request.labels),
    ):
        if any(character in value for character in _FORBIDDEN):
            raise InvalidRequest(f"Invalid {what} supplied: {value}. Contains one of: ',', ':'")
        if not value and what != "label":
            raise InvalidRequest(f"Invalid {what} supplied: it must not be empty")


def _batch_policy(request: AddModel) -> str:
    policy = _one_of("batch_policy", request.batch_policy, batch_policy_names())
    if policy == FIXED and request.batch_size == ADAPTIVE_BATCH_SIZE:
        raise InvalidRequest("batch_policy 'fixed' needs a batch_size greater than 0")
    return policy


def _batch_wait_ms(wait_ms: float | None) -> float:
    if wait_ms is None:
        return 0.0
    if not math.isfinite(wait_ms) or wait_ms < 0:
        raise InvalidRequest(f"batch_wait_ms must be 0 or greater, in milliseconds; got {wait_ms}")
    return wait_ms


def _probe_text(probe: object, input_type: InputType) -> str | None:
    if probe is None:
        return None
    check_probe_input(probe, input_type)
    return json.dumps(probe)


def set_model_version(
    snapshot: ConfigSnapshot, request: ModelVersion, connected: Collection[VersionedModelId]
) -> Decision:
    """Point a model to another of its versions.

    Args:
        snapshot: the configuration.
        request: model and version.
        connected: model versions that have a replica; any other succeeds with a warning.
    """
    model = VersionedModelId(request.model_name, request.model_version)
    if not any(known.name == model.name for known in snapshot.models):
        raise InvalidRequest(f"Cannot set version for nonexistent model '{model.name}'")
    record = snapshot.models.get(model)
    if record is None:
        raise InvalidRequest(
            f"Cannot set non-existent version '{model.version}' for model with name '{model.name}'"
        )
    _check_fits_linked_apps(snapshot, record)
    text = f"Successfully set model with name '{model.name}' to version '{model.version}'"
    if model not in connected:
        text += _not_connected(snapshot, model)
    return Decision(Change(current_versions={model.name: model.version}), text)


def _not_connected(snapshot: ConfigSnapshot, model: VersionedModelId) -> str:
    serving = snapshot.serving_versions.get(model.name)
    until_then = "get the application's default output"
    if serving is not None and serving != model.version:
        until_then = f"go to version '{serving}'"
    return (
        f". Warning: version '{model.version}' has no connected replica; until one is ready, "
        f"queries {until_then}"
    )


def delete_versioned_model(snapshot: ConfigSnapshot, request: ModelVersion) -> Decision:
    """Delete a model version at once.

    A pointer to it goes too, so that the model behaves as one without a current version; nobody
    but the operator can say which other version should serve.
    """
    model = VersionedModelId(request.model_name, request.model_version)
    if model not in snapshot.models:
        raise InvalidRequest(
            f"model with name '{model.name}' and version '{model.version}' does not exist"
        )
    was_current = snapshot.current_versions.get(model.name) == model.version
    was_serving = snapshot.serving_versions.get(model.name) == model.version
    pointer = {model.name: None}
    return Decision(
        Change(
            models={model: None},
            current_versions=pointer if was_current else {},
            serving_versions=pointer if was_current or was_serving else {},
        ),
        f"Successfully deleted model with name '{model.name}' and version '{model.version}'"
        + (_now_without_current(snapshot, model) if was_current else ""),
    )


def _now_without_current(snapshot: ConfigSnapshot, deleted: VersionedModelId) -> str:
    others = sorted(
        model.version
        for model in snapshot.models
        if model.name == deleted.name and model != deleted
    )
    if not others:
        return ""
    return (
        f". It was the current version, so model '{deleted.name}' has none now; choose one of "
        f"{', '.join(others)} with set_model_version"
    )


def _check_fits_linked_apps(snapshot: ConfigSnapshot, model: ModelRecord) -> None:
    for app_name, names in sorted(snapshot.links.items()):
        app = snapshot.applications.get(app_name)
        if app is not None and model.name in names and app.input_type != model.input_type:
            raise InvalidRequest(
                f"Model with name '{model.name}' is already linked to app '{app_name}' using "
                f"input type '{app.input_type}'. The input type you provided for a new version of "
                f"the model, '{model.input_type}', is not compatible."
            )


def _input_type(text: str) -> InputType:
    try:
        return InputType.parse(text)
    except ValueError as error:
        raise InvalidRequest(str(error)) from error


def _one_of(field: str, value: str | None, known: Sequence[str]) -> str:
    """Return ``value``, or the first known one when it was not given."""
    if value is None:
        return known[0]
    if value not in known:
        raise InvalidRequest(f"{field} '{value}' is not known; use one of: {', '.join(known)}")
    return value
