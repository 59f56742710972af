"""Making and starting one container: a free name, free host ports, its files, its network."""

from __future__ import annotations

import io
import logging
import random
import re
import tarfile
import threading
from collections.abc import Mapping

import docker.errors
from docker.models.containers import Container

from clipper.errors import ClipperException, ContainerStartError
from clipper.managers.docker.central_logging import Collector
from clipper.managers.docker.engine import Engine, EngineAbsent
from clipper.managers.docker.inventory import discard
from clipper.managers.docker.network import ensure_network
from clipper.managers.docker.specs import ClusterSettings, ContainerSpec, PortSpec, create_arguments
from clipper.managers.ports import free_port, is_free

_NAMES = 100_000
_UNIX_SOCKET = "http+"
_TRIES = 20

_PORT_TAKEN = re.compile(
    r"(\d+)(?: failed: port is already allocated|: bind: address already in use)"
)
_NETWORK_GONE = re.compile(r"network \S+ not found")

_log = logging.getLogger(__name__)


class Launcher:
    """Starts containers of one cluster. May be used by several threads."""

    def __init__(
        self,
        engine: Engine,
        settings: ClusterSettings,
        collector: Collector | None = None,
        numbers: random.Random | None = None,
    ) -> None:
        """Remember how.

        Args:
            collector: of centralized logging.
            numbers: for the numbers in names; default: the system's source.
        """
        self._engine = engine
        self._settings = settings
        self._is_local = str(engine.client.api.base_url).startswith(_UNIX_SOCKET)
        self.collector = collector
        with engine.calling("asking for the engine's log driver"):
            self._log_driver = str(engine.client.info().get("LoggingDriver", ""))
        self._numbers = numbers or random.SystemRandom()
        self._lock = threading.Lock()
        self._given: set[int] = set()
        """Host ports that a container of ours is about to take."""

    def launch(self, spec: ContainerSpec) -> Container:
        """Start a container; host ports that are taken are replaced by free ones, and logged.

        Raises:
            ContainerStartError: the engine cannot start it; nothing of it is left.
        """
        refused: set[int] = set()
        for _ in range(_TRIES):
            host_ports = {port.inner: self._choose(port, refused) for port in spec.ports}
            container = self._create(spec, host_ports)
            if container is None:
                continue
            try:
                if spec.files:
                    put_files(self._engine, container, spec.files)
                taken = self._start(container, spec)
            except BaseException:
                discard(self._engine, container)
                raise
            if taken is None:
                self._tell(spec, host_ports)
                return container
            discard(self._engine, container)
            refused |= taken or set(host_ports.values())
        raise ContainerStartError(
            f"No container {spec.prefix}-N could be started in {_TRIES} attempts: names or host "
            f"ports were taken each time (ports {sorted(refused)})."
        )

    def _choose(self, port: PortSpec, refused: set[int]) -> int:
        with self._lock:
            chosen = port.wanted
            if chosen == 0 or chosen in refused | self._given or not self._may_bind(port, chosen):
                while (chosen := free_port(self._probe_host(port))) in refused | self._given:
                    pass
            self._given.add(chosen)
            return chosen

    def _may_bind(self, port: PortSpec, number: int) -> bool:
        """A probe here says something only of an engine that runs here."""
        return not self._is_local or is_free(self._probe_host(port), number)

    def _probe_host(self, port: PortSpec) -> str:
        return port.host if self._is_local else "127.0.0.1"

    def _create(self, spec: ContainerSpec, host_ports: Mapping[int, int]) -> Container | None:
        """Return a container that does not run yet; None: its name is taken."""
        name = f"{spec.prefix}-{self._numbers.randrange(_NAMES)}"
        arguments = create_arguments(
            spec, self._settings, name, host_ports, self.collector, self._log_driver
        )
        try:
            with self._engine.calling(f"making container {name}"):
                container: Container = self._engine.client.containers.create(**arguments)
        except docker.errors.NotFound as error:
            raise ContainerStartError(
                f"Container {name} cannot be made: {error.explanation}"
            ) from error
        except EngineAbsent:
            raise
        except ClipperException as error:
            if "is already in use by container" in error.msg:
                return None
            raise ContainerStartError(error.msg) from error
        except TypeError as error:
            raise ClipperException(f"extra_container_kwargs: {error}") from error
        return container

    def _start(self, container: Container, spec: ContainerSpec) -> set[int] | None:
        """Return None when it runs, else the host ports that are taken; empty: some."""
        network = self._settings.network
        for last in (False, True):
            try:
                with self._engine.calling(f"starting container {container.name}"):
                    container.start()
                    container.reload()
                    return None
            except docker.errors.NotFound as error:
                text = str(error.explanation)
                if last or not _NETWORK_GONE.search(text):
                    raise ContainerStartError(
                        f"Container {container.name} cannot be started: {text}"
                    ) from error
                # Another cluster's end has removed it a moment ago.
                ensure_network(self._engine, network, self._settings.cluster_name)
            except EngineAbsent:
                raise
            except ClipperException as error:
                if spec.ports and (taken := _PORT_TAKEN.findall(error.msg)):
                    return {int(port) for port in taken}
                raise ContainerStartError(error.msg) from error
        raise AssertionError("unreachable")

    def _tell(self, spec: ContainerSpec, host_ports: Mapping[int, int]) -> None:
        for port in spec.ports:
            chosen = host_ports[port.inner]
            if port.wanted not in (0, chosen):
                _log.warning(
                    "[%s] host port %d is taken: the %s is published on port %d instead",
                    self._settings.cluster_name, port.wanted, port.purpose, chosen,
                )  # fmt: skip


def put_files(engine: Engine, container: Container, files: Mapping[str, bytes]) -> None:
    """Write files into a container, running or not; works with an engine on another machine.

    Raises:
        ClipperException: the engine refused, or the container is gone.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(_parents(files)):
            directory = tarfile.TarInfo(path)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(directory)
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    try:
        with engine.calling(f"writing {', '.join(files)} into container {container.name}"):
            container.put_archive("/", buffer.getvalue())
    except docker.errors.NotFound as error:
        raise ClipperException(f"Container {container.name} is gone.") from error


def _parents(files: Mapping[str, bytes]) -> set[str]:
    """Return the directories of the files; the system's own are left as they are."""
    found = set()
    for path in files:
        parts = path.strip("/").split("/")[:-1]
        found |= {"/".join(parts[:depth]) for depth in range(2, len(parts) + 1)}
    return found
