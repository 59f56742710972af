"""What the autoscaler needs of its surroundings. No HTTP in this file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

from clipper.datatypes import VersionedModelId
from clipper.errors import ClipperException
from clipper.management.autoscaling.decision import Replicas
from clipper.management.autoscaling.measurements import Counters
from clipper.store.base import WorkerLease

FrontendCounters = Mapping[str, Mapping[VersionedModelId, Counters]]
"""Frontend's host → model version → its counters."""


class ClusterUnavailable(ClipperException):
    """The cluster did not answer, or refused; what it is like is not known."""


class FrontendSilent(ClipperException):
    """A living frontend did not show its metrics; the load is not known."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScaledDeployment:
    """What runs a model version whose replicas are scaled."""

    name: str
    model: VersionedModelId
    replicas: Replicas
    resource_version: str
    """Changes with every change of the Deployment."""


class Cluster(Protocol):
    """Where replicas run."""

    async def scaled_deployments(self) -> Sequence[ScaledDeployment]:
        """Return what is to be scaled; may raise ClusterUnavailable."""

    async def set_replicas(self, deployment: ScaledDeployment, replicas: int) -> None:
        """Ask for so many replicas; may raise ClusterUnavailable."""


class MetricsReader(Protocol):
    """Where measurements come from."""

    async def read(self, leases: Sequence[WorkerLease]) -> FrontendCounters:
        """Return the counters of every living frontend; may raise FrontendSilent."""
