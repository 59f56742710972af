"""The objects that read operations answer with (spec §3.3): pure functions of stored records.

Optional settings that the original does not have appear only where they differ from their
default, so that old clients see exactly the objects they know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from clipper.datatypes import VersionedModelId
from clipper.errors import InvalidRequest
from clipper.store.base import (
    ApplicationRecord,
    ConfigSnapshot,
    ModelRecord,
    ReplicaRecord,
    WorkerLease,
)

JsonObject = dict[str, Any]

_APP_EXTRAS = (
    *("policy", "policy_options", "min_confidence", "calibration", "loss", "loss_scale", "costs"),
    *("on_default", "isolate_cache"),
)
_MODEL_EXTRAS = ("batch_size", "batch_policy", "batch_wait_ms", "cache", "probe_input")

_STATES = ("ready", "connected", "suspect", "draining")
"""Best first: a replica that one worker can use is usable."""


def application(snapshot: ConfigSnapshot, name: str) -> JsonObject:
    """Return the application object; empty when there is none."""
    record = snapshot.applications.get(name)
    if record is None:
        return {}
    return {
        "input_type": record.input_type,
        "default_output": record.default_output,
        "latency_slo_micros": record.latency_slo_micros,
        "name": record.name,
        "linked_models": list(snapshot.links.get(name, ())),
        **_unusual(record, _APP_EXTRAS),
    }


def applications(snapshot: ConfigSnapshot, verbose: bool) -> list[Any]:
    """Return all applications by name: names, or objects when ``verbose``."""
    names = sorted(snapshot.applications)
    return [application(snapshot, name) for name in names] if verbose else names


def linked_models(snapshot: ConfigSnapshot, app: str) -> list[str]:
    """Return the names of the linked models.

    Raises:
        InvalidRequest: there is no such application.
    """
    if app not in snapshot.applications:
        raise InvalidRequest(f"No application with name '{app}' exists.")
    return list(snapshot.links.get(app, ()))


def default_state(snapshot: ConfigSnapshot, app: str) -> str:
    """Return what the original calls an application's state: its default output, or nothing."""
    record = snapshot.applications.get(app)
    return "" if record is None else record.default_output


def model(snapshot: ConfigSnapshot, model_id: VersionedModelId) -> JsonObject:
    """Return the model object; empty when there is none."""
    record = snapshot.models.get(model_id)
    if record is None:
        return {}
    return {
        "model_name": record.name,
        "model_version": record.version,
        "input_type": record.input_type,
        "labels": list(record.labels),
        "container_name": record.container_name,
        "model_data_path": record.model_data_path,
        "is_current_version": snapshot.current_versions.get(record.name) == record.version,
        "generation": record.generation,
        **_unusual(record, _MODEL_EXTRAS),
    }


def models(snapshot: ConfigSnapshot, verbose: bool) -> list[Any]:
    """Return all model versions in order: ``name:version``, or objects when ``verbose``."""
    ids = sorted(snapshot.models)
    return [model(snapshot, known) if verbose else str(known) for known in ids]


def containers(leases: Iterable[WorkerLease]) -> list[JsonObject]:
    """Return the replicas that any worker sees, each once, in order."""
    merged: dict[tuple[VersionedModelId, str], JsonObject] = {}
    for lease in leases:
        for replica in lease.replicas:
            seen = merged.setdefault((replica.model, replica.instance_id), _container(replica))
            seen["workers"].append(lease.worker_id)
            seen["worker_states"][lease.worker_id] = replica.state
            seen["state"] = min(seen["state"], replica.state, key=_rank)
    return sorted(
        merged.values(), key=lambda c: (c["model_name"], c["model_version"], c["model_replica_id"])
    )


def container_name(container: JsonObject) -> str:
    """Return ``name:version:replica``."""
    return f"{container['model_id']}:{container['model_replica_id']}"


def container(
    leases: Iterable[WorkerLease], model_id: VersionedModelId, replica_id: int
) -> JsonObject:
    """Return one replica's object; empty when there is none."""
    wanted = f"{model_id}:{replica_id}"
    return next((one for one in containers(leases) if container_name(one) == wanted), {})


def workers(leases: Iterable[WorkerLease]) -> list[JsonObject]:
    """Return the living frontend workers."""
    return [
        {
            "worker_id": lease.worker_id,
            "rpc_address": lease.rpc_address,
            "applied_revision": lease.applied_revision,
            "replicas": len(lease.replicas),
        }
        for lease in leases
    ]


def connected_models(leases: Iterable[WorkerLease]) -> frozenset[VersionedModelId]:
    """Return the model versions that have a replica on some worker."""
    return frozenset(replica.model for lease in leases for replica in lease.replicas)


def _container(replica: ReplicaRecord) -> JsonObject:
    return {
        "model_id": str(replica.model),
        "model_name": replica.model.name,
        "model_version": replica.model.version,
        "model_replica_id": replica.replica_id,
        "input_type": replica.input_type,
        "instance_id": replica.instance_id,
        "state": replica.state,
        "workers": [],
        "worker_states": {},
    }


def _rank(state: str) -> int:
    return _STATES.index(state) if state in _STATES else len(_STATES)


def _unusual(record: ApplicationRecord | ModelRecord, names: tuple[str, ...]) -> JsonObject:
    usual = {
        field.name: field.default
        if field.default_factory is dataclasses.MISSING
        else field.default_factory()
        for field in dataclasses.fields(record)
    }
    return {name: getattr(record, name) for name in names if getattr(record, name) != usual[name]}
