"""How tests come by a Kubernetes cluster: never by one that nobody pointed them to."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.kubernetes_api import ClusterError, KubernetesApi

UP = "CLIPPER_KUBERNETES_UP"
"""A shell command that starts a cluster; its last line names the kubeconfig."""

DOWN = "CLIPPER_KUBERNETES_DOWN"
"""A shell command that stops it; empty: it is somebody else's."""

CHOICE = "CLIPPER_TEST_KUBERNETES"
"""``current``: the tests may use the current context of the kubeconfig."""

UP_LIMIT_S = 600.0
DOWN_LIMIT_S = 120.0
_SHOWN_OF_OUTPUT = 6000
"""Characters, the last ones."""


@dataclasses.dataclass(frozen=True, slots=True)
class Commands:
    """Shell commands that start and stop a cluster of the run's own."""

    up: str
    down: str


@dataclasses.dataclass(frozen=True, slots=True)
class CurrentContext:
    """The cluster that the current context of this kubeconfig names."""

    kubeconfig: Path


@dataclasses.dataclass(frozen=True, slots=True)
class NoCluster:
    """Tests that need a cluster cannot run, and why."""

    reason: str


Way = Commands | CurrentContext | NoCluster


def client_installed() -> bool:
    """Tell whether Kubernetes' client can be imported."""
    return importlib.util.find_spec("kubernetes") is not None


def choose_way(environ: Mapping[str, str], has_client: bool) -> Way:
    """Return how tests of this run come by a cluster.

    Args:
        environ: environment variables.
        has_client: whether the package ``kubernetes`` is installed.

    Raises:
        ValueError: a choice that nothing is called, lest a slip skip every test.
    """
    choice = environ.get(CHOICE, "")
    if choice not in ("", "current"):
        raise ValueError(f"{CHOICE} is {choice!r}, but can only be 'current', or empty")
    up = environ.get(UP, "").strip()
    if not up and not choice:
        return NoCluster(
            f"No Kubernetes cluster for tests: {UP} starts one, or {CHOICE}=current allows the "
            "kubeconfig's current context, as `make test-kubernetes` does"
        )
    if not has_client:
        return NoCluster(
            "The package kubernetes is not installed: pip install 'clipper-serving[kubernetes]'"
        )
    if up:
        return Commands(up, environ.get(DOWN, "").strip())
    place = environ.get("KUBECONFIG") or "~/.kube/config"
    if os.pathsep in place:
        return NoCluster(f"KUBECONFIG names several files, {place}; tests take one")
    return CurrentContext(Path(place).expanduser())


def last_line(output: str) -> str:
    """Return the last line that says something; empty: none does."""
    lines = [line.strip() for line in output.splitlines()]
    return next((line for line in reversed(lines) if line), "")


def run_command(command: str, limit_s: float) -> str:
    """Run a shell command and return what it prints on its standard output.

    What it leaves running may keep its output open: nobody waits for that.

    Raises:
        ClusterError: it failed, or took too long; with the end of what it said.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command, shell=True, stdin=subprocess.DEVNULL, stdout=output, stderr=complaints,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(limit_s)
            problem = f"ended with status {status}" if status else ""
        except subprocess.TimeoutExpired:
            problem = f"took longer than {limit_s:g} s"
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        printed = output.read()
        if problem:
            complaints.seek(0)
            said = (printed + complaints.read())[-_SHOWN_OF_OUTPUT:].strip()
            raise ClusterError(f"`{command}` {problem}. It said:\n{said or '(nothing)'}")
        return printed


class ClusterAccess:
    """The cluster of a run: started by the first test that needs it, stopped after the last."""

    def __init__(self, way: Way, run: Callable[[str, float], str] = run_command) -> None:
        self.way = way
        self.complaints: list[str] = []
        """Why the cluster could not be stopped."""
        self._run = run
        self._api: KubernetesApi | None = None
        self._failure: ClusterError | None = None
        self._to_stop = ""

    def api(self) -> KubernetesApi:
        """Return the cluster's API; start the cluster if that is for us to do.

        Raises:
            ClusterError: it cannot be used. Nothing is tried a second time.
        """
        if self._failure is not None:
            raise self._failure
        if self._api is None:
            try:
                self._api = KubernetesApi.opened(self._kubeconfig())
            except ClusterError as error:
                self._failure = error
                self.close()
                raise
        return self._api

    def _kubeconfig(self) -> Path:
        if isinstance(self.way, NoCluster):
            raise ClusterError(self.way.reason)
        if isinstance(self.way, CurrentContext):
            return self.way.kubeconfig
        self._to_stop = self.way.down
        place = last_line(self._run(self.way.up, UP_LIMIT_S))
        if not Path(place).is_file():
            raise ClusterError(
                f"the last line of `{self.way.up}` should name a kubeconfig, but is {place!r}"
            )
        return Path(place)

    def close(self) -> None:
        """Stop what was started; later calls do nothing."""
        api, self._api = self._api, None
        if api is not None:
            api.close()
        command, self._to_stop = self._to_stop, ""
        if command:
            try:
                self._run(command, DOWN_LIMIT_S)
            except ClusterError as error:
                self.complaints.append(str(error))
