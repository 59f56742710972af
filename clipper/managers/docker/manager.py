"""A cluster of containers on a Docker engine (spec §10.5).

The engine is the only memory: everything is found again by labels, from any process. The engine
also restarts what dies, and brings everything back after it was restarted itself.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from docker.models.containers import Container

from clipper.errors import ClipperException
from clipper.managers.base import (
    MANAGEMENT_PORT,
    QUERY_PORT,
    REDIS_PORT,
    RPC_PORT,
    ClusterOptions,
    ClusterStatus,
    ContainerManager,
)
from clipper.managers.docker import (
    central_logging,
    failures,
    inventory,
    model_build,
    plan,
    replicas,
    scraping,
    status,
    teardown,
)
from clipper.managers.docker.attach import CORE, attach
from clipper.managers.docker.build import ensure_image
from clipper.managers.docker.claims import claim
from clipper.managers.docker.core import CoreStart
from clipper.managers.docker.engine import Engine
from clipper.managers.docker.launch import Launcher
from clipper.managers.docker.logs import copy_logs
from clipper.managers.docker.plan import Model
from clipper.managers.docker.specs import (
    MANAGEMENT_PORT_LABEL,
    METRIC_PORT_LABEL,
    QUERY_PORT_LABEL,
    ClusterSettings,
    Role,
    check_extra,
)
from clipper.managers.labels import MODEL_LABEL, check_cluster_name, create_model_container_label
from clipper.managers.ports import join_address
from clipper.managers.stock_images import (
    FRONTEND_IMAGE,
    MANAGEMENT_IMAGE,
    PROMETHEUS_IMAGE,
    stock_image,
)

_log = logging.getLogger(__name__)


class DockerContainerManager(ContainerManager):
    """Runs the cluster as containers that the engine restarts.

    ``stop_all`` keeps the store's volume and the stopped model containers: the next
    ``start_clipper`` of this cluster name brings everything back. `delete_state` forgets it.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        docker_ip_address: str = "localhost",
        use_centralized_log: bool = False,
        fluentd_port: int = central_logging.FLUENTD_PORT,
        clipper_query_port: int = QUERY_PORT,
        clipper_management_port: int = MANAGEMENT_PORT,
        clipper_rpc_port: int = RPC_PORT,
        redis_ip: str | None = None,
        redis_port: int = REDIS_PORT,
        prometheus_port: int = plan.PROMETHEUS_PORT,
        docker_network: str = "clipper_network",
        extra_container_kwargs: Mapping[str, Any] | None = None,
        *,
        redis_url: str | None = None,
        token: str | None = None,
        bind_address: str | None = None,
        prometheus_image: str | None = stock_image(PROMETHEUS_IMAGE),
        store_image: str | None = None,
        fluentd_image: str = central_logging.FLUENTD_IMAGE,
        engine: Engine | None = None,
    ) -> None:
        """Choose the cluster; ports and the rest matter to `start_clipper` only.

        Args:
            cluster_name: part of labels and of image names.
            docker_ip_address: host in the addresses that are given out.
            use_centralized_log: send every container's output to a fluentd container.
            fluentd_port: its host port.
            clipper_query_port: host port of the query frontend; 0 takes any free one, as do the
                others. A port that is taken is replaced by a free one, with a warning.
            clipper_management_port: host port of the management frontend.
            clipper_rpc_port: host port that models outside of this engine dial.
            redis_ip: an existing Redis; None starts a store of the cluster's own. A loopback
                address means the engine's host.
            redis_port: its port, or the host port of the own store.
            prometheus_port: host port of Prometheus.
            docker_network: made if absent.
            extra_container_kwargs: arguments of ``containers.create`` for every container, such
                as ``mem_limit`` or ``device_requests``.
            redis_url: an existing Redis with all that a URL can say, instead of ``redis_ip``.
            token: secret that models must present; None: none.
            bind_address: address that published ports listen on. Default: 127.0.0.1 when
                ``docker_ip_address`` is a loopback name, else 0.0.0.0.
            prometheus_image: None starts no Prometheus.
            store_image: image of the own store; None: the query frontend's.
            fluentd_image: collector of centralized logging; reads the configuration of
                `central_logging.CONFIG_FILE`.
            engine: the Docker engine; None: the one that the environment names.

        Raises:
            EngineAbsent: no engine answers.
            ClipperException: a name that cannot be used, or a Redis that containers cannot reach.
        """
        check_cluster_name(cluster_name)  # the name becomes part of names
        plan.check_host(docker_ip_address)
        if docker_network == "host":
            raise ClipperException(
                "docker_network='host' is not supported: Clipper's containers find each other by "
                "name, which only a network of their own gives. Pass the name of a network; it is "
                "made if it does not exist."
            )
        self.cluster_name = cluster_name
        self.cluster_identifier = cluster_name
        self._settings = ClusterSettings(
            cluster_name=cluster_name,
            docker_ip_address=docker_ip_address,
            bind_address=bind_address or plan.default_bind_address(docker_ip_address),
            network=docker_network,
            query_port=clipper_query_port,
            management_port=clipper_management_port,
            rpc_port=clipper_rpc_port,
            redis_ip=redis_ip,
            redis_port=redis_port,
            redis_url=redis_url,
            prometheus_port=prometheus_port,
            fluentd_port=fluentd_port,
            centralized_log=use_centralized_log,
            prometheus_image=prometheus_image,
            store_image=store_image,
            fluentd_image=fluentd_image,
            token=token,
            extra=check_extra(extra_container_kwargs or {}),
        )
        plan.external_store(self._settings)  # says at once what cannot work
        self._engine = engine or Engine()
        self._ports: Mapping[str, int] = {}
        """Label → published host port of the running cluster."""
        self._launcher = Launcher(self._engine, self._settings)

    def start_clipper(self, options: ClusterOptions) -> bool:
        """Start everything, the models declared before too, and wait for both frontends.

        Raises:
            ClipperException: the cluster exists, or an image is missing; nothing was changed.
            ContainerStartError: a container did not become ready; nothing is left running.
        """
        if options.num_frontend_replicas != 1:
            raise ClipperException(
                "A Docker cluster runs one query frontend: use more workers "
                "(qf_http_thread_pool_size) instead of num_frontend_replicas."
            )
        core = CoreStart(self._engine, self._settings, options)
        core.require_images()
        image = options.query_frontend_image
        with claim(self._engine, image, self.cluster_name, "start") as claimed:
            found = self._find()
            if not claimed or inventory.alive(found):
                raise ClipperException(
                    f"Cluster {self.cluster_name} cannot be started because it already exists. "
                    "Please use ClipperConnection.connect() to connect to it."
                )
            for left_over in inventory.of_role(found, *CORE):
                inventory.discard(self._engine, left_over)
            with core.undone_on_failure(found):
                core.run()
                self._attach(core.started)
                self._restore(inventory.of_role(found, Role.MODEL))
        scraping.update_targets(self._engine, self.cluster_name)
        return True

    def connect(self) -> None:
        """Attach to the running cluster of this name, perhaps started by another process.

        Raises:
            ClipperException: it does not run, or only a part of it exists.
        """
        self._attach(self._find())

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Build the model's own image, and push it if a registry is given."""
        return model_build.build_model_image(
            self._engine,
            self.cluster_identifier,
            model_build.ModelSource(
                name, version, model_data_path, base_image, container_registry, pkgs_to_install
            ),
        )

    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        """Start containers of the image; those of an earlier build of the version are replaced."""
        _check_replicas(num_replicas)
        image_id = ensure_image(self._engine, image)
        self._bring_to(Model(name, version, input_type, image, image_id), num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """Return the number of running containers, connected or not."""
        found = inventory.find_model(self._engine, self.cluster_name, name, version)
        return len(inventory.alive(found))

    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """Start or drain containers, of the build that runs if one does."""
        _check_replicas(num_replicas)
        found = inventory.find_model(self._engine, self.cluster_name, name, version)
        running = inventory.alive(found)
        if running:
            model = inventory.model_of(running[0])
        elif num_replicas:
            model = Model(name, version, input_type, image, ensure_image(self._engine, image))
        else:
            model = Model(name, version, input_type, image, "")
        self._bring_to(model, num_replicas)

    def container_failure(self, name: str, version: str) -> str | None:
        """Return why the version's containers do not stay up; None: nothing is known."""
        found = inventory.find_model(self._engine, self.cluster_name, name, version)
        return failures.explain_failure(self._engine, found)

    def last_log_lines(self, name: str, version: str) -> str:
        """Return how the log of the version's newest container ends."""
        found = inventory.find_model(self._engine, self.cluster_name, name, version)
        newest = next(iter(inventory.alive(found)), None)
        if newest is None:
            return "None of its containers runs."
        return failures.quote(newest, failures.log_end(self._engine, newest))

    @contextlib.contextmanager
    def claim(self, name: str, version: str) -> Iterator[None]:
        """Claim the version for this client; the claim ends with it, however it ends."""
        subject = create_model_container_label(name, version)
        frontends = inventory.alive(inventory.of_role(self._find(), Role.QUERY))
        if not frontends:
            raise ClipperException(replicas.NO_FRONTEND)
        image = frontends[0].attrs["Image"]
        with claim(self._engine, image, self.cluster_name, subject) as claimed:
            if not claimed:
                raise ClipperException(
                    f"Another client is deploying {name}:{version} at this moment, or scaling it. "
                    "Wait until it is done, or deploy under another version."
                )
            yield

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copy every container's log, also of stopped ones; return absolute paths."""
        found = self._find()
        for collector in inventory.of_role(found, Role.LOGGING):
            raise central_logging.logs_elsewhere(str(collector.name))
        return copy_logs(self._engine, found, logging_dir)

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Drain and remove the versions' containers; unknown ones are ignored."""
        wanted = {
            create_model_container_label(name, str(version))
            for name, versions in models.items()
            for version in ([versions] if isinstance(versions, str) else versions)
        }
        self._remove_models([c for c in self._models() if c.labels[MODEL_LABEL] in wanted])

    def stop_all_model_containers(self) -> None:
        """Drain and remove every model container."""
        self._remove_models(self._models())

    def stop_all(self, graceful: bool = True) -> None:
        """Stop everything; the store's volume and stopped model containers stay."""
        teardown.stop_cluster(self._engine, self.cluster_name, graceful)

    def delete_state(self) -> None:
        """Remove the stopped cluster's containers, data, network and model images.

        Raises:
            ClipperException: the cluster runs.
        """
        teardown.delete_cluster(self._engine, self.cluster_name)

    def status(self) -> ClusterStatus:
        """Return what runs; a cluster that does not run has state ``stopped`` and no children."""
        now = datetime.datetime.now(datetime.UTC)
        return status.cluster_status(self.cluster_name, self._find(), now)

    def missing_images(self) -> list[str]:
        """Return the images of a cluster's core, as started by default, that the engine lacks."""
        wanted = [stock_image(FRONTEND_IMAGE), stock_image(MANAGEMENT_IMAGE)]
        wanted += [self._settings.prometheus_image] if self._settings.prometheus_image else []
        return [image for image in wanted if replicas.image_id_of(self._engine, image) is None]

    def get_admin_addr(self) -> str:
        """Return ``host:port`` of the management frontend."""
        return self._address(MANAGEMENT_PORT_LABEL, self._settings.management_port)

    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query frontend."""
        return self._address(QUERY_PORT_LABEL, self._settings.query_port)

    def get_metric_addr(self) -> str:
        """Return ``host:port`` of Prometheus, or of the query frontend if there is none."""
        if self._ports and METRIC_PORT_LABEL not in self._ports:
            return self.get_query_addr()
        return self._address(METRIC_PORT_LABEL, self._settings.prometheus_port)

    def _address(self, label: str, default: int) -> str:
        return join_address(self._settings.docker_ip_address, self._ports.get(label, default))

    def _attach(self, containers: Sequence[Container]) -> None:
        attached = attach(self._settings, containers)
        self._settings, self._ports = attached.settings, attached.ports
        self._launcher = Launcher(self._engine, attached.settings, attached.collector)

    def _restore(self, stopped: Sequence[Container]) -> None:
        """Run the models that ran when the cluster was last stopped, with the new frontend."""
        for model, containers in replicas.declared(stopped).items():
            try:
                self._replicas().bring_to(model, len(containers))
            except ClipperException as error:
                _log.warning(
                    "[%s] model %s:%s of an earlier run is not started: %s",
                    self.cluster_name, model.name, model.version, error,
                )  # fmt: skip

    def _bring_to(self, model: Model, number: int) -> None:
        try:
            self._replicas().bring_to(model, number)
        finally:
            scraping.update_targets(self._engine, self.cluster_name)

    def _remove_models(self, containers: Sequence[Container]) -> None:
        inventory.stop(self._engine, containers, replicas.GRACE_S, remove=True)
        scraping.update_targets(self._engine, self.cluster_name)

    def _replicas(self) -> replicas.Replicas:
        return replicas.Replicas(self._engine, self._settings, self._launcher)

    def _models(self) -> list[Container]:
        return inventory.of_role(self._find(), Role.MODEL)

    def _find(self) -> list[Container]:
        return inventory.find(self._engine, self.cluster_name)


def _check_replicas(count: int) -> None:
    if count < 0:
        raise ClipperException(f"A model cannot have {count} replicas.")
