"""A cluster on Kubernetes (spec §10.6).

The API server is the only memory: everything is found again by its labels, from any process.
Kubernetes restarts what dies, and brings everything back after a node was lost.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import clipper
from clipper.errors import ClipperException
from clipper.managers.base import (
    REDIS_PORT,
    ClusterOptions,
    ClusterStatus,
    ContainerManager,
)
from clipper.managers.findings import Finding
from clipper.managers.kubernetes import (
    applying,
    cluster,
    diagnosis,
    failures,
    memory,
    names,
    pod_logs,
    reaching,
    starting,
    status,
    store,
    survey,
)
from clipper.managers.kubernetes.api import KubernetesApi, Object
from clipper.managers.kubernetes.claims import claim
from clipper.managers.kubernetes.inventory import Inventory
from clipper.managers.kubernetes.models import Model
from clipper.managers.kubernetes.replicas import Replicas
from clipper.managers.kubernetes.settings import (
    FRONTEND_RESOURCES,
    MODEL_RESOURCES,
    KubernetesSettings,
    check_kubernetes_name,
    check_service_types,
)
from clipper.managers.labels import create_model_container_label
from clipper.managers.stock_images import PROMETHEUS_IMAGE, stock_image

_STOP_LIMIT_S = 120.0
_KILL_LIMIT_S = 60.0

_log = logging.getLogger(__name__)


class KubernetesContainerManager(ContainerManager):
    """Runs the cluster as Deployments and StatefulSets of one namespace.

    ``stop_all`` keeps the store's volume and the memory of which models ran: the next
    ``start_clipper`` of this cluster name brings everything back. `delete_state` forgets it.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        kubernetes_proxy_addr: str | None = None,
        redis_ip: str | None = None,
        redis_port: int = REDIS_PORT,
        useInternalIP: bool = False,  # noqa: N803 - the original's public name
        namespace: str = "default",
        service_types: Mapping[str, str] | None = None,
        create_namespace_if_not_exists: bool = False,
        *,
        redis_url: str | None = None,
        redis_storage: str | None = "1Gi",
        redis_storage_class: str | None = None,
        token: str | None = None,
        image_pull_secrets: Sequence[str] = (),
        image_pull_policy: str = "IfNotPresent",
        prometheus_image: str | None = stock_image(PROMETHEUS_IMAGE),
        store_image: str | None = None,
        max_frontend_replicas: int | None = None,
        autoscale_models: bool = False,
        autoscale_cool_down_s: int = 60,
        network_policies: bool = True,
        frontend_resources: Mapping[str, Any] | None = None,
        model_resources: Mapping[str, Any] | None = None,
        model_probes: bool = True,
        kubeconfig: str | None = None,
        context: str | None = None,
        api: KubernetesApi | None = None,
    ) -> None:
        """Choose the cluster; most of the rest matters to `start_clipper` only.

        Args:
            cluster_name: at most 34 lower case letters, digits and '-'.
            kubernetes_proxy_addr: ``host:port`` of a ``kubectl proxy`` through which the
                frontends are reached.
            redis_ip: an existing Redis; None starts a store of the cluster's own. One that runs
                keeps what it has.
            redis_port: its port, or the port of the own store's Service.
            useInternalIP: reach node ports at nodes' internal addresses, if there are no others.
            namespace: must exist, unless it is to be made.
            service_types: ``redis``, ``management``, ``query``, ``query-rpc``, ``metric`` →
                ``ClusterIP``, ``NodePort`` or ``LoadBalancer``. None: as the running cluster has
                them, else `settings.DEFAULT_SERVICE_TYPES`.
            create_namespace_if_not_exists: whether `start_clipper` may make the namespace.
            redis_url: an existing Redis with all that a URL can say, instead of ``redis_ip``.
            redis_storage: size of the own store's volume; None: no volume, so that
                configuration and feedback are lost with the store's pod.
            redis_storage_class: None: the default one of the Kubernetes cluster.
            token: secret that models must present; None: that of the running cluster, else none.
            image_pull_secrets: names of Secrets in the namespace.
            image_pull_policy: of images that are in no registry of their own; others that may
                change under their name are always looked up.
            prometheus_image: None starts no Prometheus.
            store_image: image of the own store; None: the query frontend's.
            max_frontend_replicas: lets Kubernetes add query frontends by CPU, up to so many.
            autoscale_models: whether the management frontend scales those models that have
                bounds, see `set_autoscaling`.
            autoscale_cool_down_s: how long fewer replicas must have been enough before it
                removes some.
            network_policies: whether to make NetworkPolicies.
            frontend_resources: ``requests`` and ``limits`` of a query frontend.
            model_resources: the same of a model container, such as
                ``{"limits": {"memory": "8Gi", "nvidia.com/gpu": 1}}``.
            model_probes: False for foreign containers without a ready file and metrics.
            kubeconfig: file; None: what kubectl would use, inside a pod its own account.
            context: of that file; None: the current one.
            api: the API server; None: the one that the two above name.

        Raises:
            ClusterAbsent: no Kubernetes is configured here.
            ClipperException: a name, type or address that cannot be used.
        """
        check_kubernetes_name(cluster_name)
        self.cluster_name = cluster_name
        self.cluster_identifier = (
            cluster_name if namespace == "default" else f"{namespace}-{cluster_name}"
        )
        self._settings = KubernetesSettings(
            cluster_name=cluster_name,
            namespace=namespace,
            service_types=check_service_types({} if service_types is None else service_types),
            redis_url=store.external_url(redis_url, redis_ip, redis_port),
            redis_port=redis_port,
            redis_storage=redis_storage,
            redis_storage_class=redis_storage_class,
            token=token,
            image_pull_secrets=tuple(image_pull_secrets),
            image_pull_policy=image_pull_policy,
            prometheus_image=prometheus_image,
            store_image=store_image,
            max_frontend_replicas=max_frontend_replicas,
            autoscale_models=autoscale_models,
            autoscale_cool_down_s=autoscale_cool_down_s,
            network_policies=network_policies,
            frontend_resources=dict(frontend_resources or FRONTEND_RESOURCES),
            model_resources=dict(model_resources or MODEL_RESOURCES),
            model_probes=model_probes,
        )
        self._types_given = service_types is not None
        self._may_make_namespace = create_namespace_if_not_exists
        self._reach = reaching.Reach(kubernetes_proxy_addr, useInternalIP)
        self._api = api or KubernetesApi(kubeconfig, context)
        self._inventory = Inventory(self._api, self._settings)
        self._addresses: reaching.Addresses | None = None

    def start_clipper(self, options: ClusterOptions) -> bool:
        """Start everything, the models of an earlier run too, and wait until the core is ready.

        A cluster that runs is brought to these settings, pod by pod, without losing a query.

        Returns:
            Whether it was started; False: it ran already.

        Raises:
            ClipperException: the namespace or a volume cannot be had, or the cluster runs with
                another Redis or token; nothing was changed.
            ContainerStartError: a pod did not become ready. Of a cluster that was started anew
                nothing is left.
        """
        reaching.require_namespace(self._api, self._settings.namespace, self._may_make_namespace)
        before = self._inventory.anchor()
        if before is not None:
            self._inventory.refuse_foreign(before)
            self._keep_service_types(before)
            self._settings = store.as_running(self._api, self._settings)
        store.require_storage(self._api, self._settings)
        if before is not None and before["metadata"].get("deletionTimestamp"):
            raise ClipperException(
                f"Cluster {self.cluster_name} is being removed at this moment; try again"
            )
        planned = applying.plan(self._api, self._settings, self._inventory, options)
        try:
            applying.carry_out(self._api, self._settings, self._inventory, planned)
            self._attach(reaching.BALANCER_LIMIT_S)
        except BaseException:
            if before is None:
                # Ctrl-C included: what was not reported as started must not run on.
                self._undo_start()
            raise
        self._replicas().restore()
        return before is None

    def manifests(self, options: ClusterOptions, *, secrets: bool = False) -> str:
        """Return what `start_clipper` would apply, as YAML; nothing is changed.

        Args:
            secrets: whether the Secret is there, too, with the password of the store that runs,
                or a new one.
        """
        return applying.manifests(
            self._api, self._settings, self._inventory, options, secrets=secrets
        )

    def connect(self) -> None:
        """Attach to the running cluster of this name, perhaps started by another process.

        Raises:
            ClipperException: it does not run here, or its addresses cannot be reached from here.
        """
        self._attach(balancer_limit_s=0.0)

    def _attach(self, balancer_limit_s: float) -> None:
        anchor = self._inventory.anchor()
        if anchor is None or anchor["metadata"].get("deletionTimestamp"):
            raise ClipperException(
                f"Could not connect to Clipper Kubernetes cluster. Reason: no cluster "
                f"{self.cluster_name} runs in namespace {self._settings.namespace}. Start it with "
                "ClipperConnection.start_clipper() or `clipper --mode kubernetes up`"
            )
        self._settings = cluster.record_of(anchor).applied_to(self._settings)
        self._addresses = reaching.find_addresses(
            self._api, self._settings, self._reach, balancer_limit_s
        )

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Build the model's own image with the Docker engine here, and push it to a registry.

        Without a registry the nodes must get the image in another way: a cluster of one node on
        this engine has it, ``kind load`` and ``minikube image load`` bring it.
        """
        from clipper.managers.docker import model_build  # only this needs a Docker engine
        from clipper.managers.docker.engine import Engine

        source = model_build.ModelSource(
            name, version, model_data_path, base_image, container_registry, pkgs_to_install
        )
        engine = Engine()
        try:
            return model_build.build_model_image(engine, self.cluster_identifier, source)
        finally:
            engine.client.close()

    def deploy_model(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1
    ) -> None:
        """Make the version's Deployment, or change the one that there is, pod by pod."""
        _check_replicas(num_replicas)
        self._replicas().apply(Model(name, version, input_type, image), num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """Return how many pods the version shall have, connected or not."""
        found = self._replicas().find(name, version)
        return 0 if found is None else int(found["spec"].get("replicas", 1))

    def set_num_replicas(
        self, name: str, version: str, input_type: str, image: str, num_replicas: int
    ) -> None:
        """Change the number of pods; those that leave are drained."""
        _check_replicas(num_replicas)
        self._replicas().bring_to(Model(name, version, input_type, image), num_replicas)

    def set_autoscaling(self, name: str, version: str, bounds: tuple[int, int] | None) -> None:
        """Let the number of a version's replicas follow its load between bounds, or no longer."""
        if bounds is not None:
            self.connect()  # somebody may have turned it on since
        self._replicas().set_bounds(name, version, bounds)

    def container_failure(self, name: str, version: str) -> str | None:
        """Return why the version's pods do not stay up; None: nothing is known."""
        pods = self._inventory.pods(names.model_label(name, version))
        trouble = failures.first_trouble(pods, final=True)
        return None if trouble is None else starting.explain(self._api, self._settings, trouble)

    def last_log_lines(self, name: str, version: str) -> str:
        """Return how the log of the version's newest pod ends."""
        pods = self._inventory.pods(names.model_label(name, version))
        return starting.last_words(self._api, self._settings, pods)

    @contextlib.contextmanager
    def claim(self, name: str, version: str) -> Iterator[None]:
        """Claim the version for this client; the claim ends with it, however it ends."""
        create_model_container_label(name, version)
        subject = names.model_claim(name, version, self.cluster_name)
        with claim(self._api, self._settings, subject) as claimed:
            if not claimed:
                raise ClipperException(
                    f"Another client is deploying {name}:{version} at this moment, or scaling it. "
                    "Wait until it is done, or deploy under another version."
                )
            yield

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copy every pod's logs, one file for each container; return absolute paths."""
        directory = Path(logging_dir).expanduser().absolute()
        directory.mkdir(parents=True, exist_ok=True)
        return self.pod_logs().copy_to(directory)

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Remove the versions' Deployments, whose pods drain; unknown ones are ignored."""
        for name, versions in models.items():
            for version in [versions] if isinstance(versions, str) else versions:
                found = self._replicas().find(name, str(version))
                if found is not None:
                    self._replicas().remove(found)

    def stop_all_model_containers(self) -> None:
        """Remove every model's Deployment."""
        for found in self._inventory.models():
            self._replicas().remove(found)

    def stop_all(self, graceful: bool = True) -> None:
        """Stop everything; the store's volume and the memory of the models stay."""
        self._inventory.refuse_helm()
        running = self._inventory.models()
        if running:
            memory.keep(self._api, self._settings, running)
        limit_s = _STOP_LIMIT_S if graceful else _KILL_LIMIT_S
        self._inventory.remove(graceful=graceful, limit_s=limit_s)

    def delete_state(self) -> None:
        """Remove the stopped cluster's volume and its memory of models.

        Raises:
            ClipperException: the cluster runs.
        """
        if self._inventory.anchor() is not None:
            raise ClipperException(
                f"Cluster {self.cluster_name} runs; stop it first (stop_all or `clipper down`)."
            )
        memory.forget(self._api, self._settings)
        store.forget_volume(self._api, self._settings)

    def status(self) -> ClusterStatus:
        """Return what runs; a cluster that does not run has state ``stopped`` and no children."""
        return status.cluster_status(
            self.cluster_name,
            self._settings.namespace,
            self._inventory.workloads(),
            self._inventory.pods(),
            datetime.datetime.now(datetime.UTC),
        )

    def diagnose(self) -> list[Finding]:
        """Look at the namespace, this user's rights, nodes, volumes, pods, Services, versions."""
        found = survey.survey(
            self._api,
            self._settings,
            datetime.datetime.now(datetime.UTC),
            clipper.__version__,
            needs_nodes=self._reach.by_node,
        )
        return diagnosis.examine(found)

    def pod_logs(self) -> pod_logs.PodLogs:
        """Return the logs of the pods, to be read in parts."""
        return pod_logs.PodLogs(self._api, self._inventory, self._settings.namespace)

    def get_admin_addr(self) -> str:
        """Return ``host:port`` of the management frontend, with a path behind a proxy."""
        return self._found().management

    def get_query_addr(self) -> str:
        """Return ``host:port`` of the query frontends' Service, with a path behind a proxy."""
        return self._found().query

    def get_metric_addr(self) -> str:
        """Return the address of Prometheus, or of the query frontends if there is none."""
        return self._found().metric

    def _found(self) -> reaching.Addresses:
        if self._addresses is None:
            self.connect()
        assert self._addresses is not None
        return self._addresses

    def _keep_service_types(self, anchor: Object) -> None:
        """Take over what the running cluster has, unless the user said what they want."""
        if self._types_given:
            return
        with contextlib.suppress(ClipperException):  # another version's record: made anew
            kept = dict(cluster.record_of(anchor).service_types)
            self._settings = dataclasses.replace(
                self._settings, service_types=check_service_types(kept)
            )

    def _undo_start(self) -> None:
        try:
            self._inventory.remove(graceful=False, limit_s=_KILL_LIMIT_S)
        except ClipperException as error:
            _log.warning("[%s] the failed start left something: %s", self.cluster_name, error)

    def _replicas(self) -> Replicas:
        return Replicas(self._api, self._settings, self._inventory)


def _check_replicas(count: int) -> None:
    if count < 0:
        raise ClipperException(f"A model cannot have {count} replicas.")
