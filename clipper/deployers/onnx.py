"""Deploy ONNX models, and PyTorch modules as ONNX models (spec §10.7, F9; defect D18).

onnx and torch are imported only when a model is saved.
"""

from __future__ import annotations

import functools
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import ONNX_MODEL_FILE
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy, model_file
from clipper.errors import ClipperException

_FRAMEWORK = Framework("ONNX", family="onnx", noun="ONNX")
_BACKENDS = ("onnxruntime", "caffe2")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    onnx_model: Any,
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
        ClipperException: as `register_application` and `deploy_onnx_model`.
    """
    run = functools.partial(
        deploy_onnx_model, clipper_conn, name, version, input_type, func, onnx_model,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_onnx_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any] | None,
    onnx_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy an ONNX model on ONNX Runtime behind ``func(model, inputs)``, one output per input.

    Args:
        func: ``model.run(inputs)`` returns the outputs as a list of arrays, as it did on
            Caffe2; ``model.run(names, feeds)`` and ``model.session`` are those of ONNX Runtime.
            None means the first output.
        onnx_model: an `onnx.ModelProto`, its bytes, or the path of a file.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: function or model cannot be saved, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, _first_output() if func is None else func, functools.partial(_save, onnx_model),
        clipper_conn, name, version, input_type,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install, options,
    )  # fmt: skip


def create_pytorch_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    inputs: Any,
    func: Callable[[Any, list[Any]], Any] | None,
    pytorch_model: Any,
    default_output: str = "None",
    version: str | int = 1,
    slo_micros: int = 3000000,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    base_image: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = "onnxruntime",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[endpoint.EndpointOptions],
) -> None:
    """Register an application, deploy the module under the same name and link them.

    When a step fails, what the earlier ones made is removed.

    Raises:
        ClipperException: as `register_application` and `deploy_pytorch_model`.
    """
    run = functools.partial(
        deploy_pytorch_model, clipper_conn, name, version, input_type, inputs, func,
        pytorch_model, base_image, labels, registry, num_replicas, onnx_backend, batch_size,
        pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_pytorch_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    inputs: Any,
    func: Callable[[Any, list[Any]], Any] | None,
    pytorch_model: Any,
    base_image: str | None = None,
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    onnx_backend: str = "onnxruntime",
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Convert a PyTorch module to ONNX and deploy it as `deploy_onnx_model` does.

    Args:
        inputs: an example input batch for tracing: a tensor, or a tuple of tensors. The first
            dimension of each is taken for the number of queries, and may be any.
        base_image: None means the stock image.
        onnx_backend: ``onnxruntime``; ``caffe2`` gives a warning and the same.

    Raises:
        ClipperException: an unknown backend, the module cannot be converted, or as
            `deploy_onnx_model`.
    """
    if onnx_backend not in _BACKENDS:
        raise ClipperException(
            f"Unknown onnx_backend: {onnx_backend}. ONNX models run on onnxruntime"
        )
    if onnx_backend != _BACKENDS[0]:
        clipper_conn.logger.warning(
            f"Caffe2 no longer exists: {name}:{version} runs on ONNX Runtime instead"
        )
    deploy(
        _FRAMEWORK, _first_output() if func is None else func,
        functools.partial(_save_pytorch, pytorch_model, inputs),
        clipper_conn, name, version, input_type,
        base_image or "default", labels, registry, num_replicas, batch_size, pkgs_to_install,
        options,
    )  # fmt: skip


def _first_output() -> Callable[[Any, list[Any]], Any]:
    # Nested, so that it travels by value: containers have no deployers to import it from.
    def predict(model: Any, inputs: list[Any]) -> Any:
        return model.run(inputs)[0]

    return predict


def _save(onnx_model: Any, directory: pathlib.Path) -> Needs:
    import onnx

    path = model_file(onnx_model, _FRAMEWORK.noun)
    if path is not None:
        proto = onnx.load_model(str(path))  # with the weights that lie in files beside it
    elif isinstance(onnx_model, bytes):
        proto = onnx.load_model_from_string(onnx_model)
    elif isinstance(onnx_model, onnx.ModelProto):
        proto = onnx_model
    else:
        raise ClipperException(
            f"Error saving ONNX model: {type(onnx_model).__name__} is neither an onnx.ModelProto, "
            "nor its bytes, nor the path of a file"
        )
    onnx.checker.check_model(proto)
    onnx.save_model(proto, str(directory / ONNX_MODEL_FILE))
    return Needs(modules=("onnxruntime",))


def _save_pytorch(pytorch_model: Any, inputs: Any, directory: pathlib.Path) -> Needs:
    return _save(_converted(pytorch_model, inputs), directory)


def _converted(pytorch_model: Any, inputs: Any) -> Any:
    import torch

    given = tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)
    # The exporter takes a dimension of 1 for a constant.
    examples = tuple(torch.cat([one, one]) if len(one) == 1 else one for one in given)
    any_length = tuple({0: torch.export.Dim.DYNAMIC} for _ in examples)
    was_training = pytorch_model.training
    pytorch_model.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, about its own parts
            program: Any = torch.onnx.export(
                pytorch_model, examples, dynamic_shapes=any_length, dynamo=True, verbose=False
            )
    finally:
        pytorch_model.train(was_training)
    return program.model_proto
