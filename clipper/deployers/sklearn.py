"""Deploy scikit-learn estimators. scikit-learn itself is imported nowhere here."""

from __future__ import annotations

import functools
import pathlib
import shutil
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import SKLEARN_MODEL_FILE
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy, model_file, plain_predict
from clipper.deployers.used_modules import RecordingPickler

_SKLEARN = Framework("Scikit-learn", family="sklearn", noun="scikit-learn")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    sklearn_model: Any,
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str = "default",
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[endpoint.EndpointOptions],
) -> None:
    """Register an application, deploy the estimator under the same name and link them.

    When a step fails, what the earlier ones made is removed.

    Raises:
        ClipperException: as `register_application` and `deploy_sklearn_model`.
    """
    run = functools.partial(
        deploy_sklearn_model, clipper_conn, name, version, input_type, func, sklearn_model,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_sklearn_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    sklearn_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an estimator behind ``func(model, inputs)``, one output per input.

    Args:
        func: None means ``model.predict(inputs)``.
        sklearn_model: a fitted estimator, or the path of a file that joblib or pickle wrote; a
            file is copied as it is and only loaded in the container.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the estimator use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: function or estimator cannot be serialized, no such file, no image for
            this Python, or as `build_and_deploy_model`.
    """
    deploy(
        _SKLEARN, plain_predict() if func is None else func,
        functools.partial(_save, sklearn_model), clipper_conn, name, version, input_type,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install, options,
    )  # fmt: skip


def _save(sklearn_model: Any, directory: pathlib.Path) -> Needs:
    target = directory / SKLEARN_MODEL_FILE
    modules = ("sklearn", "joblib")
    path = model_file(sklearn_model, _SKLEARN.noun)
    if path is not None:
        shutil.copyfile(path, target)
        return Needs(modules=modules)
    # cloudpickle's files are plain pickles, which joblib.load reads; unlike joblib.dump it carries
    # the user's own functions inside a pipeline by value.
    data, used = RecordingPickler().pickle(sklearn_model)
    target.write_bytes(data)
    return Needs(used=used, modules=modules)
