"""Deploy Spark models. PySpark is imported only when a model is saved."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import PYSPARK_METADATA_FILE, PYSPARK_MODEL_DIR
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy
from clipper.errors import ClipperException

START_TIMEOUT_S = 300.0
"""Default `timeout_s`: a Java machine and Spark start in every container before the model loads."""

_FRAMEWORK = Framework("PySpark", family="pyspark", noun="PySpark")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, Any, list[Any]], Any],
    pyspark_model: Any,
    sc: Any,
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
        ClipperException: as `register_application` and `deploy_pyspark_model`.
    """
    run = functools.partial(
        deploy_pyspark_model, clipper_conn, name, version, input_type, func,
        pyspark_model, sc, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_pyspark_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, Any, list[Any]], Any],
    pyspark_model: Any,
    sc: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a Spark model behind ``func(spark, model, inputs)``, one output per input.

    Args:
        func: gets the container's own SparkSession, which computes inside the container.
        pyspark_model: fitted model of ``pyspark.mllib`` or ``pyspark.ml``, or a ``PipelineModel``.
        sc: the SparkContext (or SparkSession) that the model was made with. It must be able to
            write to this machine's temporary directory, as one in local mode is.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` (here
            `START_TIMEOUT_S` unless given) of `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: not a Spark model, or it cannot be saved, no image for this Python, or
            as `build_and_deploy_model`.
    """
    options.setdefault("timeout_s", START_TIMEOUT_S)
    deploy(
        _FRAMEWORK, func, functools.partial(_save, pyspark_model, sc), clipper_conn,
        name, version, input_type, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install, options,
    )  # fmt: skip


def _save(pyspark_model: Any, sc: Any, directory: pathlib.Path) -> Needs:
    model_class = type(pyspark_model)
    bases = {base.__module__ for base in model_class.__mro__}
    is_spark = any(base.partition(".")[0] == "pyspark" for base in bases)
    if not is_spark or not hasattr(pyspark_model, "save"):
        raise ClipperException("pyspark_model argument was not a pyspark object")
    metadata = {"model_class": f"{model_class.__module__}.{model_class.__qualname__}"}
    (directory / PYSPARK_METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")
    target = directory / PYSPARK_MODEL_DIR
    if model_class.__module__.startswith("pyspark.mllib."):
        pyspark_model.save(getattr(sc, "sparkContext", sc), target.as_uri())
    else:
        pyspark_model.save(target.as_uri())
    if not target.is_dir():
        raise ClipperException(
            f"Spark did not write the model to {target}: save it with a SparkContext in local mode"
        )
    return Needs(modules=(model_class.__module__, "pyspark", "numpy"))
