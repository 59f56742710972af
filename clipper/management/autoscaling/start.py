"""Puts the autoscaler together and runs it beside the management frontend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from clipper.management.autoscaling.frontends import FrontendMetricsReader
from clipper.management.autoscaling.kubernetes import ClusterAddress, KubernetesCluster
from clipper.management.autoscaling.loop import Autoscaler
from clipper.management.autoscaling.settings import ScalingSettings
from clipper.store.base import ConfigStore

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def running_autoscaler(
    store: ConfigStore, address: ClusterAddress, query_port: int, settings: ScalingSettings
) -> AsyncIterator[Autoscaler]:
    """Run an autoscaler for the time of the context.

    Args:
        query_port: HTTP port of every query frontend.

    Raises:
        OSError: the certificate authority's file cannot be read.
    """
    # One line for each request, every few seconds, is no news.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    cluster = KubernetesCluster(address)
    frontends = FrontendMetricsReader(query_port)
    autoscaler = Autoscaler(store, cluster, frontends, settings)
    log.info(
        "scaling the annotated model versions of cluster %s in namespace %s",
        address.cluster_name,
        address.namespace,
    )
    task = asyncio.create_task(autoscaler.run())
    try:
        yield autoscaler
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await frontends.close()
        await cluster.close()
