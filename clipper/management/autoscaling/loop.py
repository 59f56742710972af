"""The autoscaler's effects: look at the cluster and the frontends, decide, ask for replicas."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable

from clipper.datatypes import VersionedModelId
from clipper.errors import ClipperException
from clipper.management.autoscaling.cluster import (
    Cluster,
    FrontendCounters,
    MetricsReader,
    ScaledDeployment,
)
from clipper.management.autoscaling.decision import Replicas, Verdict, VersionScaler
from clipper.management.autoscaling.measurements import Window, window_between
from clipper.management.autoscaling.settings import ScalingSettings
from clipper.store.base import ConfigSnapshot, ConfigStore

log = logging.getLogger(__name__)

_LONGEST_WINDOW_S = 30.0
"""Counters this far apart say too little of the present."""


@dataclasses.dataclass(frozen=True, slots=True)
class LastDecision:
    """What was decided last for one model version."""

    model: VersionedModelId
    replicas: Replicas
    wanted: int
    reason: str
    decided_s: float
    changed_s: float | None
    """When it last asked for another number; None: never."""


class Autoscaler:
    """Decides for every scaled model version, every few seconds."""

    def __init__(
        self,
        store: ConfigStore,
        cluster: Cluster,
        frontends: MetricsReader,
        settings: ScalingSettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._frontends = frontends
        self._settings = settings
        self._clock = clock
        self._scalers: dict[VersionedModelId, VersionScaler] = {}
        self._seen: tuple[float, FrontendCounters] | None = None
        self.fault = ""
        """Why the last look failed; empty: it did not."""
        self.decisions: dict[VersionedModelId, LastDecision] = {}

    async def run(self) -> None:
        """Decide again and again; never ends by itself."""
        while True:
            await self.tick()
            await asyncio.sleep(self._settings.interval_s)

    async def tick(self) -> None:
        """Look once and decide once for every version. Faults are logged when they are new."""
        faults: list[str] = []
        try:
            await self._tick(faults)
        except ClipperException as error:
            faults.append(str(error))
        except Exception as error:
            # An oddity in what others answered must not end the scaling for good.
            if not self.fault:
                log.exception("the autoscaler's look failed")
            faults.append(repr(error))
        fault = "; ".join(faults)
        if fault and not self.fault:
            log.warning("autoscaling holds: %s", fault)
        elif self.fault and not fault:
            log.info("autoscaling goes on")
        self.fault = fault

    async def _tick(self, faults: list[str]) -> None:
        deployments = await self._cluster.scaled_deployments()
        self._forget({deployment.model for deployment in deployments})
        if not deployments:
            self._seen = None
            return
        snapshot = await self._store.read_snapshot()
        leases = await self._store.read_leases()
        before = self._seen
        try:
            now_s = self._clock()
            self._seen = (now_s, await self._frontends.read(leases))
        except ClipperException as error:
            faults.append(str(error))
            before = None
        for deployment in deployments:
            window = None if before is None else self._window(before, deployment.model)
            scaler = self._scalers.setdefault(deployment.model, VersionScaler(self._settings))
            objective_s = tightest_objective_s(snapshot, deployment.model.name)
            verdict = scaler.decide(now_s, deployment.replicas, window, objective_s)
            try:
                await self._carry_out(now_s, deployment, verdict)
            except ClipperException as error:
                faults.append(str(error))

    def _window(
        self, before: tuple[float, FrontendCounters], model: VersionedModelId
    ) -> Window | None:
        assert self._seen is not None
        duration_s = self._seen[0] - before[0]
        if not 0 < duration_s <= _LONGEST_WINDOW_S:
            return None
        return window_between(duration_s, before[1], self._seen[1], model)

    async def _carry_out(
        self, now_s: float, deployment: ScaledDeployment, verdict: Verdict
    ) -> None:
        model, current = deployment.model, deployment.replicas.current
        last = self.decisions.get(model)
        changed_s = last.changed_s if last is not None else None
        if verdict.wanted != current:
            log.info("%s: %d -> %d replicas: %s", model, current, verdict.wanted, verdict.reason)
            await self._cluster.set_replicas(deployment, verdict.wanted)
            changed_s = now_s
        self.decisions[model] = LastDecision(
            model, deployment.replicas, verdict.wanted, verdict.reason, now_s, changed_s
        )

    def _forget(self, scaled: set[VersionedModelId]) -> None:
        for model in self._scalers.keys() - scaled:
            del self._scalers[model]
            self.decisions.pop(model, None)


def tightest_objective_s(snapshot: ConfigSnapshot, model_name: str) -> float | None:
    """Return the shortest latency objective of the applications linked to a model, if any is."""
    return min(
        (
            application.slo_s
            for name, application in snapshot.applications.items()
            if model_name in snapshot.links.get(name, ())
        ),
        default=None,
    )
