"""Asks the living query frontends what they have counted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import httpx

from clipper.datatypes import VersionedModelId
from clipper.management.autoscaling.cluster import FrontendCounters, FrontendSilent
from clipper.management.autoscaling.measurements import Counters, read_counters
from clipper.store.base import WorkerLease


def hosts(leases: Iterable[WorkerLease]) -> list[str]:
    """Return the hosts of the frontends, each once: any worker shows the sum of all on its host."""
    return sorted({lease.rpc_address.rpartition(":")[0] for lease in leases})


class FrontendMetricsReader:
    """Reads ``/metrics`` of query frontends."""

    def __init__(self, query_port: int, timeout_s: float = 3.0) -> None:
        """``query_port`` is the HTTP port of every query frontend."""
        self._query_port = query_port
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def read(self, leases: Iterable[WorkerLease]) -> FrontendCounters:
        """Return the counters of every frontend.

        Raises:
            FrontendSilent: one did not answer in time, or not with metrics.
        """
        names = hosts(leases)
        answers = await asyncio.gather(*map(self._ask, names))
        return dict(zip(names, answers, strict=True))

    async def _ask(self, host: str) -> Mapping[VersionedModelId, Counters]:
        url = f"http://{host}:{self._query_port}/metrics"
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.get(url, headers={"accept": "text/plain"})
            response.raise_for_status()
            return read_counters(response.text)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, KeyError) as error:
            raise FrontendSilent(
                f"The query frontend at {url} did not show its metrics "
                f"({error or type(error).__name__}). Can the management frontend reach that "
                "address? Its host is what the frontend advertises, its port is --query-port."
            ) from error
