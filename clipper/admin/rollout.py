"""One change of the containers of one model version: start, wait, and undo on failure.

The order is that of design decision 13: containers → connected → registered → ready.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from clipper.admin.readiness import connected_count, of_version, probe_failed
from clipper.admin.settings import ModelSettings
from clipper.errors import ClipperException, ContainerStartError

if TYPE_CHECKING:
    from clipper.admin.models import ModelMethods

_PAUSE_S = 0.1
_NEXT_STEP = "Fix the model and try again; get_clipper_logs (or `clipper logs`) has the whole log"


@dataclasses.dataclass(frozen=True, slots=True)
class _Progress:
    """How far a wait is, and how to say so."""

    done: bool
    text: str


class Rollout:
    """Brings one version to a number of replicas. Used once, by one client call."""

    def __init__(
        self,
        client: ModelMethods,
        settings: ModelSettings,
        num_replicas: int,
        timeout_s: float,
        previous_version: str | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._name, self._version = settings.name, settings.version
        self._id = f"{settings.name}:{settings.version}"
        self._wanted = num_replicas
        self._timeout_s = timeout_s
        self._previous_version = previous_version
        self._registered = False

    def deploy(self, image: str) -> None:
        """Start containers, register the version, return when it serves; or leave nothing."""
        before = self._client.cm.get_num_replicas(self._name, self._version)
        try:
            self._deploy(dataclasses.replace(self._settings, image=image))
        except BaseException:
            # Ctrl-C included: a half deployed model would refuse the next attempt.
            if self._registered:
                self._attempt("unregistering it", self._unregister)
            self._attempt("stopping its containers", lambda: self._restore(before))
            raise
        self._client.logger.info(f"Done deploying model {self._id}")

    def _deploy(self, settings: ModelSettings) -> None:
        deadline = self._deadline()
        if self._wanted:
            self._client.logger.info(f"Starting {self._wanted} container(s) of {self._id}")
            self._client.cm.deploy_model(
                self._name, self._version, settings.input_type, settings.image, self._wanted
            )
            self._wait(self._connected, deadline, may_fail=True)
        self._register(settings)
        if self._wanted:
            self._wait(self._ready, deadline, may_fail=True)

    def scale(self) -> None:
        """Start or stop containers of a registered version until there are as many as wanted."""
        before = self._client.cm.get_num_replicas(self._name, self._version)
        growing = self._wanted > before
        self._client.logger.info(f"Scaling {self._id} from {before} to {self._wanted}")
        try:
            self._set_containers(self._wanted)
            goal = self._ready if growing else self._shrunk
            self._wait(goal, self._deadline(), may_fail=growing)
        except BaseException:
            if growing:
                self._attempt("restoring its containers", lambda: self._set_containers(before))
            raise

    def wait_until_gone(self) -> None:
        """Return when no frontend lists a container of the version any more."""
        self._wait(self._shrunk, self._deadline(), may_fail=False)

    def _register(self, settings: ModelSettings) -> None:
        try:
            self._client._register(settings)
        except ClipperException as error:
            # A refusal wrote nothing; but a frontend that lagged behind is reported after the
            # version was written. "already exists" is another client's registration.
            self._registered = "already exists" not in error.msg and self._is_registered()
            raise
        except BaseException:
            self._registered = True  # unknown: unregistering what is absent does no harm
            raise
        self._registered = True

    def _is_registered(self) -> bool:
        return self._client._model(self._name, self._version) is not None

    def _unregister(self) -> None:
        if self._previous_version is not None:
            self._client._point_to(self._name, self._previous_version)
        self._client._unregister(self._name, self._version)

    def _restore(self, before: int) -> None:
        if before:
            self._set_containers(before)
        else:
            self._client.cm.stop_models({self._name: [self._version]})

    def _set_containers(self, number: int) -> None:
        settings = self._settings
        self._client.cm.set_num_replicas(
            self._name, self._version, settings.input_type, settings.image, number
        )

    def _attempt(self, what: str, step: Callable[[], None]) -> None:
        """Run a step of the clean-up; its failure must not hide the one that led here."""
        try:
            step()
        except Exception as error:
            self._client.logger.error(f"After the failure of {self._id}, {what} failed: {error}")

    def _connected(self) -> _Progress:
        containers = self._client.get_all_model_replicas(verbose=True)
        count = connected_count(containers, self._name, self._version)
        text = f"{count} of {self._wanted} containers connected"
        return _Progress(count >= self._wanted, text)

    def _ready(self) -> _Progress:
        count = self._client._ready_count(self._name, self._version)
        text = f"{count} of {self._wanted} containers ready on every frontend worker"
        return _Progress(count >= self._wanted, text)

    def _shrunk(self) -> _Progress:
        containers = self._client.get_all_model_replicas(verbose=True)
        count = len(of_version(containers, self._name, self._version))
        text = f"{count} containers still connected instead of {self._wanted}"
        return _Progress(count <= self._wanted, text)

    def _deadline(self) -> float:
        return self._client._clock() + self._timeout_s

    def _wait(self, goal: Callable[[], _Progress], deadline: float, *, may_fail: bool) -> None:
        told = ""
        while True:
            progress = goal()
            if progress.done:
                return
            failure = self._failure() if may_fail else None
            if failure:
                raise ContainerStartError(f"{failure}\n{_NEXT_STEP}")
            if self._client._clock() >= deadline:
                raise ClipperException(self._late(progress, may_fail))
            if progress.text != told:
                self._client.logger.info(f"Waiting for model {self._id}: {progress.text}")
                told = progress.text
            self._client._sleep(_PAUSE_S)

    def _failure(self) -> str | None:
        cm = self._client.cm
        death = cm.container_failure(self._name, self._version)
        if death is not None:
            return f"A container of model {self._id} does not stay up: {death}"
        containers = self._client.get_all_model_replicas(verbose=True)
        if probe_failed(containers, self._name, self._version):
            log = cm.last_log_lines(self._name, self._version)
            return f"A container of model {self._id} failed on its probe input. {log}"
        return None

    def _late(self, progress: _Progress, with_log: bool) -> str:
        text = f"Model {self._id}: {progress.text} after {self._timeout_s:g} s. "
        if not with_log:
            return f"{text}Try again with a larger timeout_s; `clipper doctor` looks for the cause"
        log = self._client.cm.last_log_lines(self._name, self._version)
        return f"{text}{log}\n{_NEXT_STEP}, or pass a larger timeout_s"
