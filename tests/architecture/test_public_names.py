"""What users' programs may name, and how they may call it: removing any of it is a decision.

The signatures are those of the original library (interface spec §10); our additions to them are
keyword-only, so no call written for the original changes its meaning.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import clipper.errors
from clipper.admin.connection import ClipperConnection
from clipper.managers.base import ContainerManager
from clipper.managers.local import LocalContainerManager

_MODEL = "labels=None, num_replicas=1, batch_size=-1"
_DEPLOY = (
    "base_image='default', labels=None, registry=None, num_replicas=1, batch_size=-1, "
    "pkgs_to_install=None"
)
_ENDPOINT = (
    "default_output='None', version=1, slo_micros=3000000, labels=None, registry=None, "
    "base_image='default', num_replicas=1, batch_size=-1, pkgs_to_install=None"
)
_ANY = object()

ORIGINAL_METHODS = {
    "build_and_deploy_model": (
        "name, version, input_type, model_data_path, base_image, labels=None, "
        "container_registry=None, num_replicas=1, batch_size=-1, pkgs_to_install=None"
    ),
    "build_model": (
        "name, version, model_data_path, base_image, container_registry=None, pkgs_to_install=None"
    ),
    "connect": "",
    "delete_application": "name",
    "deploy_model": f"name, version, input_type, image, {_MODEL}",
    "get_all_apps": "verbose=False",
    "get_all_model_replicas": "verbose=False",
    "get_all_models": "verbose=False",
    "get_app_info": "name",
    "get_clipper_logs": "logging_dir='clipper_logs/'",
    "get_current_model_version": "name",
    "get_linked_models": "app_name",
    "get_metric_addr": "",
    "get_model_info": "name, version",
    "get_model_replica_info": "name, version, replica_id",
    "get_num_replicas": "name, version=None",
    "get_query_addr": "",
    "inspect_instance": "",
    "link_model_to_app": "app_name, model_name",
    "register_application": "name, input_type, default_output, slo_micros",
    "register_model": "name, version, input_type, image=None, labels=None, batch_size=-1",
    "set_model_version": "name, version, num_replicas=None",
    "set_num_replicas": "name, num_replicas, version=None",
    "start_clipper": (
        "query_frontend_image=_ANY, mgmt_frontend_image=_ANY, frontend_exporter_image=_ANY, "
        "cache_size=33554432, qf_http_thread_pool_size=1, qf_http_timeout_request=5, "
        "qf_http_timeout_content=300, num_frontend_replicas=1"
    ),
    "stop_all": "graceful=True",
    "stop_all_model_containers": "",
    "stop_inactive_model_versions": "model_names",
    "stop_models": "model_names",
    "stop_versioned_models": "model_versions_dict",
    "test_predict_function": "query, func, input_type",
    "unlink_model_from_app": "app_name, model_name",
    "unregister_application": "name",
}
ADDED_METHODS = {
    "get_autoscaling",
    "set_autoscaling",
    "stop_autoscaling",
    "get_workers",
    "get_policies",
    "update_application",
    "get_policy",
    "get_feedback_log",
}

DEPLOYERS = {
    "clipper.deployers.python.deploy_python_closure": (
        f"clipper_conn, name, version, input_type, func, {_DEPLOY}"
    ),
    "clipper.deployers.python.create_endpoint": (
        f"clipper_conn, name, input_type, func, {_ENDPOINT}"
    ),
    "clipper.deployers.sklearn.deploy_sklearn_model": (
        f"clipper_conn, name, version, input_type, func, sklearn_model, {_DEPLOY}"
    ),
    "clipper.deployers.sklearn.create_endpoint": (
        f"clipper_conn, name, input_type, func, sklearn_model, {_ENDPOINT}"
    ),
    "clipper.deployers.onnx.deploy_pytorch_model": (
        "clipper_conn, name, version, input_type, inputs, func, pytorch_model, base_image=None, "
        "labels=None, registry=None, num_replicas=1, onnx_backend=_ANY, batch_size=-1, "
        "pkgs_to_install=None"
    ),
    "clipper.deployers.onnx.create_pytorch_endpoint": (
        "clipper_conn, name, input_type, inputs, func, pytorch_model, default_output='None', "
        "version=1, slo_micros=3000000, labels=None, registry=None, base_image=None, "
        "num_replicas=1, onnx_backend=_ANY, batch_size=-1, pkgs_to_install=None"
    ),
}

_MODEL_ARGUMENTS = {
    "pytorch": "pytorch_model",
    "tensorflow": "tf_sess_or_saved_model_path",
    "keras": "model_path_or_object",
    "mxnet": "mxnet_model, mxnet_data_shapes",
    "pyspark": "pyspark_model, sc",
    "xgboost": "xgboost_model",
    "lightgbm": "lightgbm_model",
    "onnx": "onnx_model",
}
for _module, _model in _MODEL_ARGUMENTS.items():
    DEPLOYERS[f"clipper.deployers.{_module}.deploy_{_module}_model"] = (
        f"clipper_conn, name, version, input_type, func, {_model}, {_DEPLOY}"
    )
    DEPLOYERS[f"clipper.deployers.{_module}.create_endpoint"] = (
        f"clipper_conn, name, input_type, func, {_model}, {_ENDPOINT}"
    )

OLD_NAMES = {
    "clipper_admin": "ClipperConnection ClipperException UnconnectedException deployers "
    "DockerContainerManager KubernetesContainerManager __version__ __registry__ CLIPPER_TEMP_DIR "
    "DEFAULT_LABEL DEFAULT_PREDICTION_CACHE_SIZE_BYTES",
    "clipper_admin.clipper_admin": "ClipperConnection",
    "clipper_admin.exceptions": "ClipperException UnconnectedException",
    "clipper_admin.container_manager": "ContainerManager ClusterAdapter CONTAINERLESS_MODEL_IMAGE "
    "create_model_container_label parse_model_container_label CLIPPER_INTERNAL_QUERY_PORT "
    "CLIPPER_INTERNAL_MANAGEMENT_PORT CLIPPER_INTERNAL_RPC_PORT CLIPPER_INTERNAL_METRIC_PORT "
    "CLIPPER_INTERNAL_REDIS_PORT CLIPPER_INTERNAL_FLUENTD_PORT",
    "clipper_admin.decorators": "retry",
    "clipper_admin.docker.docker_container_manager": "DockerContainerManager find_unbound_port",
    "clipper_admin.kubernetes.kubernetes_container_manager": "KubernetesContainerManager",
    "clipper_admin.metrics": "add_metric report_metric",
    "clipper_admin.deployers.python": "deploy_python_closure create_endpoint",
    "clipper_admin.deployers.pytorch": "deploy_pytorch_model create_endpoint",
    "clipper_admin.deployers.tensorflow": "deploy_tensorflow_model create_endpoint",
    "clipper_admin.deployers.keras": "deploy_keras_model create_endpoint",
    "clipper_admin.deployers.mxnet": "deploy_mxnet_model create_endpoint",
    "clipper_admin.deployers.pyspark": "deploy_pyspark_model create_endpoint",
    "clipper_admin.deployers.onnx": "deploy_pytorch_model create_pytorch_endpoint",
}

ERRORS = {
    "ClipperException",
    "ContainerStartError",
    "InvalidRequest",
    "JsonFault",
    "ModelError",
    "NotInForce",
    "ReplicaLost",
    "StoreUnavailable",
    "UnconnectedException",
}


def _assert_callable_as_before(function: Callable[..., Any], original: str) -> None:
    """Same positional parameters, in the same order, with the same defaults; more by name only."""
    stub: Any = eval(f"lambda {original}: None", {"_ANY": _ANY})
    expected = list(inspect.signature(stub).parameters.values())
    given = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    positional = [p for p in given if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional] == [p.name for p in expected]
    for ours, theirs in zip(positional, expected, strict=True):
        if theirs.default is not _ANY:
            assert ours.default == theirs.default, ours.name
    for extra in given[len(positional) :]:
        assert extra.kind in (extra.KEYWORD_ONLY, extra.VAR_KEYWORD), extra.name
        assert extra.kind is extra.VAR_KEYWORD or extra.default is not extra.empty, extra.name


@pytest.mark.parametrize("method", sorted(ORIGINAL_METHODS))
def test_connection_is_called_as_before(method: str) -> None:
    _assert_callable_as_before(getattr(ClipperConnection, method), ORIGINAL_METHODS[method])


def test_connection_has_no_other_methods() -> None:
    public = {name for name in dir(ClipperConnection) if not name.startswith("_")}
    assert public == set(ORIGINAL_METHODS) | ADDED_METHODS


@pytest.mark.parametrize("path", sorted(DEPLOYERS))
def test_deployers_are_called_as_before(path: str) -> None:
    module, _, name = path.rpartition(".")
    _assert_callable_as_before(getattr(importlib.import_module(module), name), DEPLOYERS[path])


@pytest.mark.parametrize("module", sorted(OLD_NAMES))
def test_old_names_resolve(module: str) -> None:
    imported = importlib.import_module(module)
    for name in OLD_NAMES[module].split():
        assert getattr(imported, name) is not None, name


def test_error_tree() -> None:
    found = {
        name
        for name, value in vars(clipper.errors).items()
        if isinstance(value, type) and issubclass(value, Exception)
    }
    assert found == ERRORS
    assert all(
        issubclass(getattr(clipper.errors, name), clipper.errors.ClipperException)
        for name in ERRORS
    )


def test_local_manager_is_a_container_manager_with_a_fixed_constructor() -> None:
    assert issubclass(LocalContainerManager, ContainerManager)
    _assert_callable_as_before(
        LocalContainerManager,
        "cluster_name='default-cluster', state_dir=None, host='127.0.0.1', "
        "clipper_query_port=1337, clipper_management_port=1338, clipper_rpc_port=7000, "
        "redis_url=None, isolated_environments=False, token=None",
    )
