"""What is stored, and the operations the servers need on it. No Redis in this file.

The whole configuration is small and is always read at once as a `ConfigSnapshot`; change events
only say *that* something changed (design decision 14: never from events alone).
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from clipper.datatypes import (
    ADAPTIVE_BATCH_SIZE,
    CONTAINERLESS_MODEL_IMAGE,
    DEFAULT_POLICY,
    InputType,
    OnDefault,
    VersionedModelId,
)


@dataclasses.dataclass(frozen=True, slots=True)
class ApplicationRecord:
    """A registered application (spec §1.1). `generation` differs for every registration."""

    name: str
    input_type: InputType
    default_output: str
    latency_slo_micros: int
    policy: str = DEFAULT_POLICY
    on_default: OnDefault = OnDefault.OUTPUT
    isolate_cache: bool = False
    policy_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    min_confidence: float | None = None
    """An answer less sure than this becomes the default; None: every answer is good enough."""
    calibration: str = "none"
    """How raw confidences become probabilities: none, isotonic, platt or temperature."""
    loss: str = "zero-one"
    """What feedback means: zero-one, absolute or squared."""
    loss_scale: float = 1.0
    """Distance of numbers that counts as wholly wrong."""
    costs: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Model name → cost of one prediction, in any unit."""
    generation: int = 0

    @property
    def slo_s(self) -> float:
        """Latency objective in seconds."""
        return self.latency_slo_micros / 1e6


@dataclasses.dataclass(frozen=True, slots=True)
class ModelRecord:
    """A registered model version. `generation` is unique over all registrations, ever."""

    name: str
    version: str
    input_type: InputType
    labels: tuple[str, ...] = ()
    container_name: str = CONTAINERLESS_MODEL_IMAGE
    model_data_path: str = "DEPRECATED"
    batch_size: int = ADAPTIVE_BATCH_SIZE
    batch_policy: str = "aimd"
    batch_wait_ms: float = 0.0
    cache: bool = True
    probe_input: str | None = None
    """JSON text of one input that a new replica must answer before it serves; None: no probe."""
    generation: int = 0

    @property
    def id(self) -> VersionedModelId:
        """The versioned model id."""
        return VersionedModelId(self.name, self.version)


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """The complete configuration at one revision."""

    revision: int = 0
    applications: Mapping[str, ApplicationRecord] = dataclasses.field(default_factory=dict)
    models: Mapping[VersionedModelId, ModelRecord] = dataclasses.field(default_factory=dict)
    links: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Application name → linked model names, in the order they were linked."""
    current_versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Model name → the version that the operator wants to serve."""
    serving_versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Model name → the last version that a frontend really switched to (design decision 13)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What one management operation writes. None as a value deletes the entry.

    Records carry generation 0 when they are new; the store gives them a fresh one.
    """

    applications: Mapping[str, ApplicationRecord | None] = dataclasses.field(default_factory=dict)
    models: Mapping[VersionedModelId, ModelRecord | None] = dataclasses.field(default_factory=dict)
    links: Mapping[str, tuple[str, ...] | None] = dataclasses.field(default_factory=dict)
    current_versions: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    serving_versions: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    delete_state_of: Sequence[str] = ()
    """Applications, deleted or registered anew by this change, whose selection data goes away.
    Feedback on the registration that they had is refused from now on."""


@dataclasses.dataclass(frozen=True, slots=True)
class ReplicaRecord:
    """One connected replica as a frontend worker sees it."""

    model: VersionedModelId
    replica_id: int
    instance_id: str
    input_type: InputType
    state: str
    """``connected`` (not yet allowed to serve), ``ready``, ``suspect`` or ``draining``."""


@dataclasses.dataclass(frozen=True, slots=True)
class WorkerLease:
    """Sign of life of one frontend worker; it vanishes when not renewed."""

    worker_id: str
    rpc_address: str
    """host:port under which model containers reach this worker."""
    applied_revision: int
    epoch: int
    replicas: tuple[ReplicaRecord, ...] = ()


class ConfigStore(abc.ABC):
    """Configuration, leases and selection state. Every method may raise StoreUnavailable."""

    @abc.abstractmethod
    async def read_snapshot(self) -> ConfigSnapshot:
        """Read the whole configuration atomically."""

    @abc.abstractmethod
    async def read_revision(self) -> int:
        """Read the configuration's revision alone; the same one means the same configuration."""

    @abc.abstractmethod
    async def update(self, decide: Callable[[ConfigSnapshot], Change]) -> int:
        """Apply what ``decide`` returns for the present snapshot, atomically; return the revision.

        ``decide`` is pure and may run several times when others write at the same moment; what it
        raises (InvalidRequest, say) is passed on and nothing is written. Raises the revision by
        one and publishes a change event.
        """

    @abc.abstractmethod
    def changes(self) -> AsyncIterator[None]:
        """Yield whenever the configuration may have changed, and after every reconnection.

        Never ends and never raises StoreUnavailable: it reconnects with back-off.
        """

    @abc.abstractmethod
    async def write_lease(self, lease: WorkerLease, ttl_s: float) -> None:
        """Create or renew a worker's lease."""

    @abc.abstractmethod
    async def delete_lease(self, worker_id: str) -> None:
        """Remove a lease at a graceful stop."""

    @abc.abstractmethod
    async def read_leases(self) -> list[WorkerLease]:
        """Return all live leases, ordered by worker id."""

    @abc.abstractmethod
    async def next_epoch(self) -> int:
        """Return a number that no worker ever had; query ids begin with it (decision 11)."""

    @abc.abstractmethod
    async def replica_number(self, model: VersionedModelId, instance_id: str) -> int:
        """Return the number of this container instance for this model version: 0, 1, 2 …

        The same instance gets the same number from every worker; numbers are not reused.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Release the connections."""
