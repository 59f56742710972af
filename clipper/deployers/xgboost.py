"""Deploy XGBoost models. xgboost is imported only when a model is saved."""

from __future__ import annotations

import copy
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import XGBOOST_ESTIMATOR_FILE, XGBOOST_MODEL_FILE
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy, model_file
from clipper.deployers.used_modules import RecordingPickler
from clipper.errors import ClipperException

_FRAMEWORK = Framework("XGBoost", family="xgboost", noun="XGBoost")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    xgboost_model: Any,
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
    """Register an application, deploy the model under the same name and link them.

    When a step fails, what the earlier ones made is removed.

    Raises:
        ClipperException: as `register_application` and `deploy_xgboost_model`.
    """
    run = functools.partial(
        deploy_xgboost_model, clipper_conn, name, version, input_type, func, xgboost_model,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_xgboost_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    xgboost_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an XGBoost model behind ``func(model, inputs)``, one output per input.

    Args:
        func: None means ``model.predict`` of the inputs as one array.
        xgboost_model: a `Booster`, a model of the scikit-learn interface such as
            `XGBClassifier`, or the path of a file that ``save_model`` wrote, which gives a
            `Booster`. The function gets the same kind.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: function or model cannot be saved, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, _plain_predict() if func is None else func,
        functools.partial(_save, xgboost_model), clipper_conn, name, version, input_type,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install, options,
    )  # fmt: skip


def _plain_predict() -> Callable[[Any, list[Any]], Any]:
    # Nested, so that it travels by value: containers have no deployers to import it from.
    def predict(model: Any, inputs: list[Any]) -> Any:
        import numpy

        data = numpy.asarray(inputs)
        if hasattr(model, "inplace_predict"):  # a Booster; its `predict` takes no arrays
            return model.inplace_predict(data, validate_features=False)
        return model.predict(data)

    return predict


def _save(xgboost_model: Any, directory: pathlib.Path) -> Needs:
    import xgboost

    target = str(directory / XGBOOST_MODEL_FILE)
    path = model_file(xgboost_model, _FRAMEWORK.noun)
    model: Any = xgboost_model if path is None else xgboost.Booster(model_file=str(path))
    if not isinstance(model, xgboost.Booster | xgboost.XGBModel):
        raise ClipperException(
            f"Error saving XGBoost model: {type(model).__name__} is neither a Booster, nor a model "
            "of XGBoost's scikit-learn interface, nor the path of a saved model"
        )
    model.save_model(target)
    if isinstance(model, xgboost.Booster):
        return Needs(modules=("xgboost",))
    shell = copy.copy(model)
    del shell._Booster  # it is in XGBoost's own file
    data, used = RecordingPickler().pickle(shell)
    (directory / XGBOOST_ESTIMATOR_FILE).write_bytes(data)
    return Needs(used=used, modules=("xgboost", "sklearn"))
