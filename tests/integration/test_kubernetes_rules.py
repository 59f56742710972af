"""When a run starts and stops its Kubernetes cluster, and what it says where it has none."""

from __future__ import annotations

import contextlib
import http.server
import json
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.clusters import eventually
from tests.kubernetes_access import last_line, run_command
from tests.kubernetes_api import ClusterError

from .test_tier_rules import counts, run, suite

__all__ = ["suite"]  # a fixture

_VERSION = dict.fromkeys(
    ("buildDate", "compiler", "gitCommit", "gitTreeState", "gitVersion", "goVersion", "platform"),
    "x",
) | {"major": "1", "minor": "20"}

_NOTES = "import os, pathlib, pytest\nNOTES = pathlib.Path(os.environ['NOTES'])\n"
_ON_CLUSTER = """
def test_on_a_cluster(kubernetes_api):
    with NOTES.open("a") as notes:
        notes.write("test\\n")
    assert kubernetes_api.kubeconfig.is_file()
    assert NOTES.read_text().count("test") > 1, "the first time"
"""
_RESTART = """
@pytest.mark.restarts_engine
def test_engine():
    with NOTES.open("a") as notes:
        notes.write("engine\\n")
"""


class _Versions(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(_VERSION).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: pytest's output is not the place."""


@contextlib.contextmanager
def answering() -> Iterator[str]:
    """Serve what tells a cluster's version, and yield the URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Versions) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


def write_kubeconfig(path: Path, server: str) -> Path:
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": server}}],
                "users": [{"name": "u", "user": {}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


def commands(notes: Path, up: str) -> dict[str, str]:
    noted = shlex.quote(str(notes))
    return {
        "CLIPPER_KUBERNETES_UP": f"echo up >>{noted}; {up}",
        "CLIPPER_KUBERNETES_DOWN": f"echo down >>{noted}",
        "NOTES": str(notes),
    }


@pytest.fixture
def on_cluster(suite: Path) -> Path:
    """A suite whose test on a cluster fails at first, and one of whose others restarts engines."""
    (suite / "tests/kubernetes/test_it.py").write_text(_NOTES + _ON_CLUSTER)
    (suite / "tests/e2e/test_it.py").write_text(_NOTES + _RESTART)
    return suite


def test_a_cluster_is_stopped_after_its_last_test_and_before_the_engine_is(
    on_cluster: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    with answering() as url:
        kubeconfig = shlex.quote(str(write_kubeconfig(tmp_path / "k config", url)))
        variables = commands(notes, f"echo starting; printf '%s\\n\\n' {kubeconfig}")
        status, output = run(on_cluster, require="kubernetes", **variables)

    assert status == 0, output
    assert notes.read_text().split() == ["up", "test", "test", "down", "engine"]
    assert ["kubernetes", "1", "passed"] in counts(output)


def test_a_cluster_that_does_not_start_is_a_failure_with_what_it_said(
    on_cluster: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    variables = commands(notes, "echo no room >&2; exit 7")
    status, output = run(on_cluster, **variables)

    assert status == 1, output
    assert "ended with status 7. It said:\nno room" in output
    assert notes.read_text().split() == ["up", "down", "engine"]


def test_the_current_context_is_used_and_left_alone(on_cluster: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with answering() as url:
        kubeconfig = write_kubeconfig(tmp_path / "config", url)
        status, output = run(
            on_cluster, "-m", "kubernetes", NOTES=str(notes),
            CLIPPER_TEST_KUBERNETES="current", KUBECONFIG=str(kubeconfig),
        )  # fmt: skip

    assert status == 0, output
    assert notes.read_text().split() == ["test", "test"]


@pytest.mark.parametrize("require", ["", "kubernetes"])
def test_where_nobody_answers_tests_are_skipped_unless_they_are_required(
    on_cluster: Path, tmp_path: Path, require: str
) -> None:
    kubeconfig = write_kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    status, output = run(
        on_cluster, "-m", "kubernetes", "-rs", require=require, NOTES=str(tmp_path / "notes"),
        CLIPPER_TEST_KUBERNETES="current", KUBECONFIG=str(kubeconfig),
    )  # fmt: skip

    assert "No Kubernetes API answers at http://127.0.0.1:1" in output
    assert (status, counts(output)[-2]) == (
        (1, ["kubernetes", "1", "failed"]) if require else (0, ["kubernetes", "1", "skipped"])
    )


def test_a_required_cluster_that_nobody_names_is_a_failure(on_cluster: Path) -> None:
    status, output = run(on_cluster, "-m", "kubernetes", require="kubernetes", NOTES="/dev/null")

    assert status == 1
    assert "CLIPPER_REQUIRE asks for Kubernetes. No Kubernetes cluster for tests" in output


def test_a_slip_in_the_choice_ends_the_run(suite: Path) -> None:
    status, output = run(suite, CLIPPER_TEST_KUBERNETES="curent")

    assert status == pytest.ExitCode.USAGE_ERROR
    assert "CLIPPER_TEST_KUBERNETES is 'curent'" in output


def test_a_commands_output_is_its_standard_output() -> None:
    assert run_command("echo waiting >&2; echo /k/config", 30.0) == "/k/config\n"


def test_a_command_that_fails_tells_what_it_said() -> None:
    with pytest.raises(ClusterError, match=r"(?s)status 3\. It said:.*begun.*no room"):
        run_command("echo begun; echo no room >&2; exit 3", 30.0)


def test_a_command_that_hangs_is_ended_with_all_that_it_runs() -> None:
    with pytest.raises(ClusterError, match=r"(?s)took longer than 2 s.*It said:\n\d+") as caught:
        run_command("sleep 600 & echo $!; wait", 2.0)

    pid = int(last_line(str(caught.value)))
    eventually(lambda: not runs(pid), "what it started is ended")


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
