"""The core of a cluster: store, frontends, Prometheus. Started as a whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Sequence

import docker.errors
from docker.models.containers import Container

from clipper.managers.base import ClusterOptions
from clipper.managers.docker import inventory, plan
from clipper.managers.docker.build import ensure_image
from clipper.managers.docker.central_logging import Collector
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.launch import Launcher
from clipper.managers.docker.network import ensure_network, remove_unused_network
from clipper.managers.docker.readiness import Probe, answers, healthy, wait_until_ready
from clipper.managers.docker.specs import (
    MANAGEMENT_PORT_LABEL,
    METRIC_PORT_LABEL,
    QUERY_PORT_LABEL,
    VOLUME_LABEL,
    ClusterSettings,
    ContainerSpec,
    Role,
)


class CoreStart:
    """One start of a cluster's core; knows what it has started, and takes it away again."""

    def __init__(self, engine: Engine, settings: ClusterSettings, options: ClusterOptions) -> None:
        self._engine = engine
        self._settings = settings
        self._options = options
        self._store = plan.external_store(settings)
        self._store_image = settings.store_image or options.query_frontend_image
        self.launcher = Launcher(engine, settings)
        self.started: list[Container] = []

    def require_images(self) -> None:
        """Return if every image is there, or could be pulled.

        Raises:
            ClipperException: one is neither; nothing was started.
        """
        wanted = [self._options.query_frontend_image, self._options.mgmt_frontend_image]
        if self._store is None:
            wanted.append(self._store_image)
        if self._settings.prometheus_image is not None:
            wanted.append(self._settings.prometheus_image)
        if self._settings.centralized_log:
            wanted.append(self._settings.fluentd_image)
        for image in dict.fromkeys(wanted):
            ensure_image(self._engine, image)

    @contextlib.contextmanager
    def undone_on_failure(self, before: Sequence[Container]) -> Iterator[None]:
        """If what is inside fails, take away again what it started, also what it knows not of.

        Models that were brought back are stopped only: they are declarations again.

        Args:
            before: the cluster's containers so far.
        """
        engine, cluster = self._engine, self._settings.cluster_name
        new_volume = not has_volume(engine, cluster)
        known = {container.id for container in before}
        try:
            yield
        except BaseException:
            new = [one for one in inventory.find(engine, cluster) if one.id not in known]
            models = inventory.of_role(new, Role.MODEL)
            inventory.stop(engine, models, 0, remove=False)
            for container in new:
                if container not in models:
                    inventory.discard(engine, container)
            if new_volume:
                remove_volume(engine, cluster)
            remove_unused_network(engine, self._settings.network, cluster)
            raise

    def run(self) -> None:
        """Start everything: the frontends and Prometheus when the store is ready.

        Raises:
            ContainerStartError: a container did not become ready; with its last log lines.
        """
        settings, options = self._settings, self._options
        ensure_network(self._engine, settings.network, settings.cluster_name)
        if settings.centralized_log:
            collector = self._launch(plan.logging_container(settings))
            self.launcher.collector = Collector.from_labels(collector.labels)
        store = self._store or self._start_store()
        rest = [
            (
                plan.management_container(settings, options.mgmt_frontend_image, store),
                MANAGEMENT_PORT_LABEL,
                "/readyz",
            ),
            (plan.query_container(settings, options, store), QUERY_PORT_LABEL, "/readyz"),
        ]
        if settings.prometheus_image is not None:
            metrics = plan.prometheus_container(settings, settings.prometheus_image)
            rest.append((metrics, METRIC_PORT_LABEL, "/-/ready"))
        # They need nothing of each other, so that they may start side by side.
        for container, (spec, port_label, path) in [(self._launch(one[0]), one) for one in rest]:
            self._await_http(container, spec, port_label, path)

    def _start_store(self) -> plan.StoreAddress:
        self._make_volume()
        # Model containers run users' code on the same network: the store asks for a password.
        password = secrets.token_urlsafe(24)
        spec = plan.store_container(self._settings, self._store_image, password)
        container = self._launch(spec)
        self._await(container, spec, healthy(self._engine, container))
        return plan.own_store(str(container.name), password)

    def _launch(self, spec: ContainerSpec) -> Container:
        container = self.launcher.launch(spec)
        self.started.append(container)
        return container

    def _await_http(
        self, container: Container, spec: ContainerSpec, port_label: str, path: str
    ) -> None:
        port = int(container.labels[port_label])
        probe = answers(self._settings.docker_ip_address, port, path)
        self._await(container, spec, probe)

    def _await(self, container: Container, spec: ContainerSpec, probe: Probe) -> None:
        purpose = spec.ports[0].purpose
        wait_until_ready(self._engine, container, purpose, probe)

    def _make_volume(self) -> None:
        name = self._settings.cluster_name
        with self._engine.calling("making the store's volume"):
            self._engine.client.volumes.create(plan.volume_name(name), labels={VOLUME_LABEL: name})


def has_volume(engine: Engine, cluster_name: str) -> bool:
    """Return whether the cluster has data on this engine."""
    with engine.calling("looking for the store's volume"):
        try:
            engine.client.volumes.get(plan.volume_name(cluster_name))
        except docker.errors.NotFound:
            return False
        return True


def remove_volume(engine: Engine, cluster_name: str) -> None:
    """Remove the data of a cluster; none is no error."""
    with (
        contextlib.suppress(docker.errors.NotFound),
        engine.calling("removing the store's volume"),
    ):
        engine.client.volumes.get(plan.volume_name(cluster_name)).remove()
