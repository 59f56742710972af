"""Names of the original library, and that importing them has no effect."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys

import pytest

import clipper_admin
import clipper_admin.clipper_admin
import clipper_admin.container_manager
import clipper_admin.docker.docker_container_manager
import clipper_admin.exceptions
import clipper_admin.managers
import clipper_admin.metrics
from clipper_admin.decorators import retry


def test_public_names() -> None:
    assert set(clipper_admin.__all__) == {
        "CLIPPER_TEMP_DIR",
        "DEFAULT_LABEL",
        "DEFAULT_PREDICTION_CACHE_SIZE_BYTES",
        "ClipperConnection",
        "ClipperException",
        "DockerContainerManager",
        "KubernetesContainerManager",
        "LocalContainerManager",
        "UnconnectedException",
        "__registry__",
        "__version__",
        "deployers",
    }
    assert all(getattr(clipper_admin, name) is not None for name in clipper_admin.__all__)
    assert clipper_admin.DEFAULT_LABEL == []
    assert clipper_admin.DEFAULT_PREDICTION_CACHE_SIZE_BYTES == 33554432
    assert clipper_admin.clipper_admin.ClipperConnection is clipper_admin.ClipperConnection
    assert clipper_admin.exceptions.ClipperException is clipper_admin.ClipperException
    label = clipper_admin.container_manager.create_model_container_label("m", "1")
    assert label == "m_1"
    assert callable(clipper_admin.metrics.add_metric)
    assert callable(clipper_admin.deployers.python.create_endpoint)
    with pytest.raises(AttributeError):
        _ = clipper_admin.SomethingElse


def test_a_manager_without_its_package_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for loaded in [name for name in sys.modules if name.startswith("clipper.managers.kubernetes")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(clipper_admin.ClipperException) as caught:
        clipper_admin.KubernetesContainerManager(cluster_name="c")  # type: ignore[call-arg]
    assert "pip install 'clipper-serving[kubernetes]'" in caught.value.msg


def test_docker_manager_takes_the_originals_arguments() -> None:
    parameters = inspect.signature(clipper_admin.DockerContainerManager).parameters.values()
    assert {p.name: p.default for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD} == {
        "cluster_name": "default-cluster",
        "docker_ip_address": "localhost",
        "use_centralized_log": False,
        "fluentd_port": 24224,
        "clipper_query_port": 1337,
        "clipper_management_port": 1338,
        "clipper_rpc_port": 7000,
        "redis_ip": None,
        "redis_port": 6379,
        "prometheus_port": 9090,
        "docker_network": "clipper_network",
        "extra_container_kwargs": None,
    }


def test_deployers_import_no_framework() -> None:
    frameworks = ("torch", "tensorflow", "keras", "xgboost", "lightgbm", "onnx", "pyspark", "mxnet")
    code = (
        "import sys\n"
        f"for name in {frameworks!r}: sys.modules[name] = None\n"
        "import clipper_admin.deployers\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_metrics_need_none_of_the_clients_libraries() -> None:
    code = (
        "import sys\n"
        "for name in ('requests', 'fastapi', 'redis', 'typer', 'rich'): sys.modules[name] = None\n"
        "import clipper_admin.metrics as metrics\n"
        "metrics.add_metric('n', 'Counter', 'a number')\n"
        "metrics.report_metric('n', 1)\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_importing_has_no_effect(tmp_path: object) -> None:
    code = (
        "import logging, os, threading, subprocess\n"
        "def refuse(*a, **k): raise AssertionError('a process was started')\n"
        "subprocess.Popen.__init__ = refuse\n"
        "import clipper_admin, clipper_admin.metrics, clipper_admin.deployers.sklearn\n"
        "import clipper_admin.container_manager, clipper_admin.decorators\n"
        "assert logging.getLogger().handlers == []\n"
        "assert threading.active_count() == 1\n"
        "assert not os.path.exists(clipper_admin.CLIPPER_TEMP_DIR)\n"
        "assert clipper_admin.__registry__ == 'mine'\n"
        "assert os.listdir('.') == []\n"
    )
    environment = {
        "TMPDIR": str(tmp_path),
        "CLIPPER_REGISTRY": "mine",
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=str(tmp_path),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_retry_waits_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    pauses: list[float] = []

    @retry((KeyError, OSError), tries=3, logger=logging.getLogger("test"), sleep=pauses.append)
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert pauses == [3, 6]
    assert len(caplog.records) == 2
