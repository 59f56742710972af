"""Deploy MXNet models. MXNet is imported only when a model is saved."""

from __future__ import annotations

import functools
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import MXNET_METADATA_FILE, MXNET_MODEL_PREFIX
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy
from clipper.errors import ClipperException

_FRAMEWORK = Framework("MXNet", family="mxnet", noun="MXNet")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    mxnet_model: Any,
    mxnet_data_shapes: Sequence[Any],
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
        ClipperException: as `register_application` and `deploy_mxnet_model`.
    """
    run = functools.partial(
        deploy_mxnet_model, clipper_conn, name, version, input_type, func,
        mxnet_model, mxnet_data_shapes, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_mxnet_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    mxnet_model: Any,
    mxnet_data_shapes: Sequence[Any],
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an MXNet model behind ``func(model, inputs)``, one output per input.

    Args:
        func: gets a ``mxnet.mod.Module`` bound to ``mxnet_data_shapes``.
        mxnet_model: a ``Module`` with parameters, or a hybridized Gluon block that has been called
            once.
        mxnet_data_shapes: name and shape of every input, such as ``iterator.provide_data`` or
            ``[("data", (1, 784))]``; the first number of a shape is the batch size.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: the model cannot be saved, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, func, functools.partial(_save, mxnet_model, mxnet_data_shapes), clipper_conn,
        name, version, input_type, base_image, labels, registry, num_replicas, batch_size,
        pkgs_to_install, options,
    )  # fmt: skip


def _save(mxnet_model: Any, data_shapes: Sequence[Any], directory: pathlib.Path) -> Needs:
    metadata = {"data_shapes": _plain_shapes(data_shapes)}
    (directory / MXNET_METADATA_FILE).write_text(json.dumps(metadata), encoding="utf-8")
    prefix = str(directory / MXNET_MODEL_PREFIX)
    if hasattr(mxnet_model, "save_checkpoint"):
        mxnet_model.save_checkpoint(prefix, 0)
    elif hasattr(mxnet_model, "export"):
        mxnet_model.export(prefix, epoch=0)
    else:
        raise ClipperException(f"{mxnet_model!r} is neither an MXNet Module nor a HybridBlock")
    # MXNet names a range of numpy versions of which it works with the older ones only.
    return Needs(modules=("mxnet", "numpy"))


def _plain_shapes(data_shapes: Sequence[Any]) -> list[tuple[str, list[int]]]:
    try:
        return [(str(name), [int(size) for size in shape]) for name, shape in data_shapes]
    except (TypeError, ValueError) as error:
        raise ClipperException(
            f"mxnet_data_shapes is {data_shapes!r}; give a list of (name, shape), such as "
            '[("data", (1, 784))]'
        ) from error
