"""Deploy scikit-learn estimators. scikit-learn itself is imported nowhere here."""

from __future__ import annotations

import functools
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import cloudpickle

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import SKLEARN_MODEL_FILE
from clipper.deployers import endpoint
from clipper.deployers.base_image import choose_base_image
from clipper.deployers.closures import local_modules_by_value, save_function
from clipper.deployers.environment import save_requirements
from clipper.errors import ClipperException

_FAMILY = "sklearn{python}-container"


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
    deploy = functools.partial(
        deploy_sklearn_model, clipper_conn, name, version, input_type, func, sklearn_model,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, deploy)


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
    image = choose_base_image(base_image, _FAMILY, "Scikit-learn")
    function = _plain_predict() if func is None else func
    with tempfile.TemporaryDirectory(prefix="clipper-") as directory:
        model_dir = pathlib.Path(directory)
        save_function(function, model_dir)
        _save_model(sklearn_model, model_dir / SKLEARN_MODEL_FILE)
        if pkgs_to_install is None:
            used = [function] if _is_path(sklearn_model) else [function, sklearn_model]
            save_requirements(used, model_dir)
        clipper_conn.build_and_deploy_model(
            name,
            str(version),
            input_type,
            directory,
            image,
            labels,
            registry,
            num_replicas,
            batch_size,
            pkgs_to_install,
            **options,
        )


def _plain_predict() -> Callable[[Any, list[Any]], Any]:
    # Nested, so that it travels by value: containers have no deployers to import it from.
    def predict(model: Any, inputs: list[Any]) -> Any:
        return model.predict(inputs)

    return predict


def _is_path(sklearn_model: Any) -> bool:
    return isinstance(sklearn_model, str | pathlib.Path)


def _save_model(sklearn_model: Any, target: pathlib.Path) -> None:
    if _is_path(sklearn_model):
        if not pathlib.Path(sklearn_model).is_file():
            raise ClipperException(f"No scikit-learn model file at {sklearn_model}")
        shutil.copyfile(sklearn_model, target)
        return
    # cloudpickle's files are plain pickles, which joblib.load reads; unlike joblib.dump it carries
    # the user's own functions inside a pipeline by value.
    try:
        with local_modules_by_value(), target.open("wb") as file:
            cloudpickle.dump(sklearn_model, file)
    except Exception as error:
        raise ClipperException(f"Error saving scikit-learn model: {error}") from error
