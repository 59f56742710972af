"""Request bodies of the management API: one declaration each.

From the same fields come the OpenAPI document, the schema text in error messages and the decoder.
Decoding does not use pydantic's validation, since the original's error texts are the interface
(spec §3.1); fields are checked in the order they are declared in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

from clipper import jsonfaults
from clipper.jsonfaults import JsonObject

_Body = TypeVar("_Body", bound="RequestBody")


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How a field is read from the body, and what error messages call its type."""

    shown: str
    read: Callable[[JsonObject, str], object]


_STRING = _Kind("string", jsonfaults.require_string)
_BOOL = _Kind("bool", jsonfaults.require_bool)
_NUMBER = _Kind("number", jsonfaults.require_number)
_ANY = _Kind("any JSON value", jsonfaults.require)
_INPUT_TYPE = _Kind(
    '"integers" | "bytes" | "floats" | "doubles" | "strings"', jsonfaults.require_string
)

String = Annotated[str, _STRING]
InputTypeName = Annotated[str, _INPUT_TYPE, Field(description="An input type or an alias of one.")]
Int32 = Annotated[
    int, _Kind("int", jsonfaults.require_int), Field(json_schema_extra={"format": "int32"})
]
Int64 = Annotated[
    int, _Kind("int", jsonfaults.require_int64), Field(json_schema_extra={"format": "int64"})
]
Flag = Annotated[bool, _BOOL]
Strings = Annotated[list[str], _Kind("[string]", jsonfaults.require_string_array)]
OptionalString = Annotated[str | None, _STRING]
OptionalFlag = Annotated[bool | None, _BOOL]
OptionalNumber = Annotated[float | None, _NUMBER]
OptionalInt32 = Annotated[
    int | None, _Kind("int", jsonfaults.require_int), Field(json_schema_extra={"format": "int32"})
]
AnyValue = Annotated[Any, _ANY]


class RequestBody(BaseModel):
    """Base of all request bodies. Keys that are not declared are ignored."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())


class AddApp(RequestBody):
    """Register an application."""

    name: String = Field(description="Part of the URL: not empty, no '/'.")
    input_type: InputTypeName
    default_output: String = Field(description="Answered when there is no prediction.")
    latency_slo_micros: Int32 = Field(description="Latency objective in microseconds, above 0.")
    policy: OptionalString = Field(None, description="Model selection policy.")
    on_default: OptionalString = Field(None, description="output (HTTP 200) or error (503/504).")
    isolate_cache: OptionalFlag = Field(None, description="Share no cached predictions.")
    policy_options: AnyValue = Field(None, description="Options of the policy, an object.")
    min_confidence: OptionalNumber = Field(None, description="Less sure answers: the default.")
    calibration: OptionalString = Field(None, description="none, isotonic, platt, temperature.")
    loss: OptionalString = Field(None, description="zero-one, absolute or squared.")
    loss_scale: OptionalNumber = Field(None, description="Distance that is wholly wrong.")
    costs: AnyValue = Field(None, description="Model name → cost of one prediction.")


class UpdateApp(RequestBody):
    """Change settings of an application; those that are absent stay as they are."""

    name: String
    default_output: OptionalString = Field(None, description="Answered without a prediction.")
    latency_slo_micros: OptionalInt32 = Field(None, description="Latency objective, above 0.")
    on_default: OptionalString = Field(None, description="output (HTTP 200) or error (503/504).")
    isolate_cache: OptionalFlag = Field(None, description="Share no cached predictions.")
    policy: OptionalString = Field(None, description="Another policy has its default options.")
    policy_options: AnyValue = Field(None, description="Options to change; null: the default.")
    min_confidence: OptionalNumber = Field(None, description="0: every answer is good enough.")
    calibration: OptionalString = Field(None, description="none, isotonic, platt, temperature.")
    costs: AnyValue = Field(None, description="Model name → cost; null: no longer named.")
    input_type: AnyValue = Field(None, description="Cannot be changed.")
    loss: AnyValue = Field(None, description="Cannot be changed.")
    loss_scale: AnyValue = Field(None, description="Cannot be changed.")


class AppName(RequestBody):
    """Name an application."""

    name: String


class LinkedApp(RequestBody):
    """Name an application."""

    app_name: String


class FeedbackLog(RequestBody):
    """Name an application and how many of its labelled queries to return."""

    app_name: String
    count: Int32 = Field(description="The newest ones; at least 1.")


class ModelLinks(RequestBody):
    """Name an application and models to link to it, or to unlink."""

    app_name: String
    model_names: Strings


class AddModel(RequestBody):
    """Register a model version and make it the current one."""

    model_name: String
    model_version: String
    labels: Strings
    input_type: InputTypeName
    container_name: String = Field(description="Image of the model's containers.")
    model_data_path: String
    batch_size: Int32 = Field(description="Largest batch; -1: adaptive.")
    batch_policy: OptionalString = Field(None, description="aimd, quantile or fixed.")
    batch_wait_ms: OptionalNumber = Field(None, description="Wait for fuller batches, ms.")
    cache: OptionalFlag = Field(None, description="false: never cache (stochastic models).")
    probe_input: AnyValue = Field(None, description="Input a new replica answers before it serves.")


class ModelVersion(RequestBody):
    """Name a model version."""

    model_name: String
    model_version: String


class Replica(RequestBody):
    """Name a replica of a model version."""

    model_name: String
    model_version: String
    replica_id: Int32


class Verbose(RequestBody):
    """Choose between names and whole objects."""

    verbose: Flag = Field(description="false: names; true: objects.")


class UserState(RequestBody):
    """Name an application and a user."""

    app_name: String
    uid: Int64


def decode(body: bytes, kind: type[_Body]) -> _Body:
    """Return ``body`` decoded as ``kind``; null counts as absent for optional keys.

    Raises:
        JsonFault: with the texts of spec §3.1.
    """
    schema = schema_text(kind)
    given = jsonfaults.parse_object(body, schema)
    with jsonfaults.expecting(schema):
        values: dict[str, Any] = {
            key: _kind(field).read(given, key)
            for key, field in kind.model_fields.items()
            if field.is_required() or given.get(key) is not None
        }
    return kind.model_construct(**values)


def schema_text(kind: type[RequestBody]) -> str:
    """Return what error messages show as the expected schema of ``kind``."""
    lines = [f'   "{key}" := {_shown(field)}' for key, field in kind.model_fields.items()]
    return "\n  {\n" + ",\n".join(lines) + "\n  }\n"


def _shown(field: FieldInfo) -> str:
    return _kind(field).shown + ("" if field.is_required() else " (optional)")


def _kind(field: FieldInfo) -> _Kind:
    return next(mark for mark in field.metadata if isinstance(mark, _Kind))
