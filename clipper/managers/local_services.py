"""The services of one local cluster inside its supervisor: desired state, started and stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from clipper.errors import ClipperException
from clipper.managers.local_plan import ServiceSpec
from clipper.managers.local_policy import plan_replicas
from clipper.managers.local_processes import ProcessIdentity, write_children
from clipper.managers.local_replica import Replica
from clipper.managers.local_state import StateDir, write_json

GRACE_S = 10.0
"""How long a process may drain before it is killed."""

_READY_LIMIT_S = 30.0
_RECORD_FORMAT = 1

_log = logging.getLogger(__name__)


class Services:
    """Runs what is declared; saves the declaration. Owned by one event loop."""

    def __init__(self, state: StateDir, identity: ProcessIdentity, cluster: dict[str, Any]) -> None:
        self._state = state
        self._identity = identity
        self._cluster = cluster
        self._services: dict[str, _Service] = {}
        self._leaving: list[_Service] = []
        self._started_s = time.monotonic()
        self._stopping = False

    async def start(self, specs: Sequence[ServiceSpec]) -> None:
        """Start the services rank by rank, each once the rank below is ready or failing."""
        for spec in specs:
            self._services[spec.role] = _Service(spec, self._state, self._record_children)
        self._save()
        for rank in sorted({spec.rank for spec in specs}):
            chosen = [s for s in self._services.values() if s.spec.rank == rank]
            await asyncio.gather(*(service.apply(service.spec) for service in chosen))
            await asyncio.gather(*(service.ready() for service in chosen))

    async def apply(self, spec: ServiceSpec) -> None:
        """Make the service run as specified, new or changed; surplus processes are drained.

        Raises:
            ClipperException: the cluster is stopping.
        """
        self._refuse_while_stopping()
        service = self._services.get(spec.role)
        if service is None:
            service = _Service(spec, self._state, self._record_children)
            self._services[spec.role] = service
        service.spec = spec
        self._save()
        await service.apply(spec)

    async def scale(self, role: str, replicas: int) -> bool:
        """Change the number of processes of a service; return False if there is none such."""
        service = self._services.get(role)
        if service is None:
            return False
        await self.apply(dataclasses.replace(service.spec, replicas=replicas))
        return True

    async def remove(self, roles: Sequence[str]) -> None:
        """Drain the services and forget them; unknown ones are ignored."""
        self._refuse_while_stopping()
        removed = [self._services.pop(role) for role in roles if role in self._services]
        self._leaving += removed
        self._save()
        await asyncio.gather(*(service.close(GRACE_S) for service in removed))
        self._leaving = [service for service in self._leaving if service not in removed]

    async def stop(self, graceful: bool) -> None:
        """Stop everything, highest rank first. What was declared stays saved.

        A second call with ``graceful=False`` hurries a first.
        """
        self._stopping = True
        grace_s = GRACE_S if graceful else 0.0
        services = [*self._services.values(), *self._leaving]
        for rank in sorted({s.spec.rank for s in services}, reverse=True):
            chosen = [s for s in services if s.spec.rank == rank]
            await asyncio.gather(*(service.close(grace_s) for service in chosen))

    def status(self) -> dict[str, Any]:
        """Return the supervisor's row, every process's row and every service's target."""
        services = self._services.values()
        return {
            "supervisor": {
                "pid": os.getpid(),
                "uptime_s": time.monotonic() - self._started_s,
            },
            "services": {s.spec.role: s.spec.replicas for s in services},
            "children": [replica.status() for s in services for replica in s.replicas()],
        }

    def _refuse_while_stopping(self) -> None:
        if self._stopping:
            raise ClipperException("The cluster is being stopped.")

    def _save(self) -> None:
        declared = [
            {"model": dict(service.spec.declared), "num_replicas": service.spec.replicas}
            for service in self._services.values()
            if service.spec.declared is not None
        ]
        record = {"format": _RECORD_FORMAT, "cluster": self._cluster, "models": declared}
        write_json(self._state.cluster_file, record)

    def _record_children(self) -> None:
        services = [*self._services.values(), *self._leaving]
        replicas = [replica for service in services for replica in service.replicas()]
        pids = [replica.pid for replica in replicas if replica.pid is not None]
        try:
            write_children(self._state.children_file, self._identity, pids)
        except OSError as error:
            # Supervision must go on; only the sweep after a violent death suffers.
            _log.error("the record of children cannot be written: %s", error)


class _Service:
    """The processes of one specification; changes happen one at a time."""

    def __init__(self, spec: ServiceSpec, state: StateDir, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self._state = state
        self._on_change = on_change
        self._replicas: dict[int, Replica] = {}
        self._lock = asyncio.Lock()
        self._closed = False

    def replicas(self) -> list[Replica]:
        return list(self._replicas.values())

    async def apply(self, spec: ServiceSpec) -> None:
        async with self._lock:
            if self._closed:
                raise ClipperException(f"{spec.role} is being stopped.")
            running = {index: r.spec_identity for index, r in self._replicas.items()}
            plan = plan_replicas(spec.replicas, spec.identity(), running)
            for index in plan.start:
                self._replicas[index] = self._new_replica(spec, index)
            await asyncio.gather(*(self._replicas[index].started() for index in plan.start))
            await asyncio.gather(*(self._stop_replica(index, GRACE_S) for index in plan.stop))

    async def close(self, grace_s: float) -> None:
        self._closed = True
        await asyncio.gather(*(self._stop_replica(index, grace_s) for index in self._replicas))

    async def ready(self) -> None:
        """Wait until the ready socket accepts; give up when the process keeps dying."""
        path, deadline = self.spec.ready_socket, time.monotonic() + _READY_LIMIT_S
        while path is not None and time.monotonic() < deadline:
            if await _accepts(path) or any(r.deaths > 1 for r in self._replicas.values()):
                return
            await asyncio.sleep(0.02)

    def _new_replica(self, spec: ServiceSpec, index: int) -> Replica:
        log = self._state.logs / f"{spec.log_name}-{index}.log"
        return Replica(spec, index, log, self._state.work, self._on_change)

    async def _stop_replica(self, index: int, grace_s: float) -> None:
        replica = self._replicas.get(index)
        if replica is not None:
            await replica.stop(grace_s)
            self._replicas.pop(index, None)


async def _accepts(path: str) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
