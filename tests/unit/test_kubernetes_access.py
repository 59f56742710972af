"""How a run comes by its Kubernetes cluster, starts it once, and stops it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kubernetes_access import (
    ClusterAccess,
    Commands,
    CurrentContext,
    NoCluster,
    choose_way,
    last_line,
)
from tests.kubernetes_api import ClusterError, remains, volume_manifest

CURRENT = {"CLIPPER_TEST_KUBERNETES": "current"}
UP = {"CLIPPER_KUBERNETES_UP": "start it", "CLIPPER_KUBERNETES_DOWN": "stop it"}


def test_commands_come_before_the_current_context() -> None:
    assert choose_way({**CURRENT, **UP}, has_client=True) == Commands("start it", "stop it")


def test_a_cluster_may_be_left_to_whoever_runs_it() -> None:
    assert choose_way({"CLIPPER_KUBERNETES_UP": "echo x"}, has_client=True) == Commands(
        "echo x", ""
    )


def test_the_current_context_is_that_of_the_usual_file_or_of_kubeconfig() -> None:
    assert choose_way({**CURRENT, "KUBECONFIG": "/k/config"}, has_client=True) == CurrentContext(
        Path("/k/config")
    )
    assert choose_way(CURRENT, has_client=True) == CurrentContext(Path.home() / ".kube/config")


@pytest.mark.parametrize(
    ("environ", "has_client", "reason"),
    [
        ({}, True, "CLIPPER_KUBERNETES_UP starts one, or CLIPPER_TEST_KUBERNETES=current allows"),
        ({"KUBECONFIG": "/k/config"}, True, "No Kubernetes cluster for tests"),
        ({"CLIPPER_KUBERNETES_UP": " "}, True, "No Kubernetes cluster for tests"),
        ({"CLIPPER_KUBERNETES_DOWN": "stop it"}, True, "No Kubernetes cluster for tests"),
        (CURRENT, False, r"pip install 'clipper-serving\[kubernetes\]'"),
        (UP, False, "package kubernetes is not installed"),
        ({**CURRENT, "KUBECONFIG": "/a:/b"}, True, "names several files, /a:/b"),
    ],
)
def test_nobody_s_cluster_is_taken_unasked(
    environ: dict[str, str], has_client: bool, reason: str
) -> None:
    way = choose_way(environ, has_client)

    assert isinstance(way, NoCluster)
    with pytest.raises(ClusterError, match=reason):
        ClusterAccess(way).api()


def test_a_slip_in_the_choice_is_told() -> None:
    with pytest.raises(ValueError, match="CLIPPER_TEST_KUBERNETES is 'curent'"):
        choose_way({"CLIPPER_TEST_KUBERNETES": "curent"}, has_client=True)


def test_the_last_line_that_says_something() -> None:
    assert last_line("starting\n /k/config \n\n") == "/k/config"
    assert last_line("\n") == ""


class Shell:
    """Notes commands instead of running them."""

    def __init__(self, says: str = "", failing: str = "") -> None:
        self.ran: list[str] = []
        self._says, self._failing = says, failing

    def __call__(self, command: str, limit_s: float) -> str:
        self.ran.append(command)
        if command == self._failing:
            raise ClusterError(f"`{command}` failed")
        return self._says


def test_a_start_that_failed_is_undone_and_not_tried_again() -> None:
    shell = Shell(failing="start it")
    access = ClusterAccess(Commands("start it", "stop it"), shell)

    for _ in range(2):
        with pytest.raises(ClusterError, match="`start it` failed"):
            access.api()
    access.close()

    assert shell.ran == ["start it", "stop it"]


def test_a_start_that_names_no_kubeconfig_is_undone() -> None:
    shell = Shell(says="it runs\n")
    access = ClusterAccess(Commands("start it", "stop it"), shell)

    with pytest.raises(ClusterError, match="should name a kubeconfig, but is 'it runs'"):
        access.api()

    assert shell.ran == ["start it", "stop it"]


def test_a_stop_that_failed_is_told_at_the_end(tmp_path: Path) -> None:
    shell = Shell(says=str(tmp_path), failing="stop it")
    access = ClusterAccess(Commands("start it", "stop it"), shell)

    with pytest.raises(ClusterError, match="should name a kubeconfig"):
        access.api()

    assert access.complaints == ["`stop it` failed"]


def test_a_cluster_that_nobody_needed_is_not_stopped() -> None:
    shell = Shell()
    ClusterAccess(Commands("start it", "stop it"), shell).close()

    assert shell.ran == []


def test_what_keeps_a_namespace_is_told() -> None:
    assert remains(
        ["Some resources are remaining: pods has 1"], {"b": "Running", "a": "Pending"}
    ) == ("Some resources are remaining: pods has 1; pod a is Pending; pod b is Running")
    assert remains([], {}) == "nothing says why"


def test_a_volume_is_a_folder_under_a_class_of_its_own() -> None:
    spec = volume_manifest("v-0", "v", "2Gi", Path("/tmp/v/0"))["spec"]

    assert (spec["storageClassName"], spec["capacity"]) == ("v", {"storage": "2Gi"})
    assert spec["hostPath"]["path"] == "/tmp/v/0"
    assert spec["persistentVolumeReclaimPolicy"] == "Retain"
