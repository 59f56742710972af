"""Deploy PyTorch modules. torch is imported only when a module is saved."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.artifacts import PYTORCH_MODEL_FILE, PYTORCH_WEIGHTS_FILE
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, Needs, deploy
from clipper.deployers.used_modules import RecordingPickler
from clipper.errors import ClipperException

_FRAMEWORK = Framework("PyTorch", family="pytorch", noun="torch")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    pytorch_model: Any,
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
        ClipperException: as `register_application` and `deploy_pytorch_model`.
    """
    run = functools.partial(
        deploy_pytorch_model, clipper_conn, name, version, input_type, func, pytorch_model,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_pytorch_model(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[Any, list[Any]], Any],
    pytorch_model: Any,
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a module behind ``func(model, inputs)``, one output per input.

    Args:
        func: the module it gets is in evaluation mode, and its parameters need no gradients.
        pytorch_model: a `torch.nn.Module`. Its class travels with it when it is the user's own.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function and the model use.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: function or model cannot be saved, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _FRAMEWORK, func, functools.partial(_save, pytorch_model),
        clipper_conn, name, version, input_type,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install, options,
    )  # fmt: skip


def _save(pytorch_model: Any, directory: pathlib.Path) -> Needs:
    import torch

    if not isinstance(pytorch_model, torch.nn.Module):
        raise ClipperException(
            f"Error saving torch model: {type(pytorch_model).__name__} is not a torch.nn.Module"
        )
    torch.save(pytorch_model.state_dict(), directory / PYTORCH_WEIGHTS_FILE)
    weights = pytorch_model.state_dict(keep_vars=True).values()
    shell, used = _ShellPickler(weights).pickle(pytorch_model)
    (directory / PYTORCH_MODEL_FILE).write_bytes(shell)
    return Needs(used=used, modules=("torch",))


@dataclasses.dataclass(frozen=True, slots=True)
class _Empty:
    """Stands for the data of a parameter."""

    shape: tuple[int, ...]
    dtype: Any


class _ShellPickler(RecordingPickler):
    """Leaves out the data of the weights, which are in a file of their own."""

    def __init__(self, weights: Iterable[Any]) -> None:
        super().__init__()
        self._weights = {id(one): one for one in weights}

    def reducer_override(self, obj: Any) -> Any:
        """Return how to make an empty tensor in the place of a weight."""
        import torch

        if isinstance(obj, _Empty):
            return functools.partial(torch.empty, obj.shape, dtype=obj.dtype), ()
        if id(obj) in self._weights and type(obj) in (torch.Tensor, torch.nn.Parameter):
            empty = _Empty(tuple(obj.shape), obj.dtype)
            if type(obj) is torch.nn.Parameter:
                return torch.nn.Parameter, (empty, obj.requires_grad)
            return functools.partial(torch.empty, empty.shape, dtype=empty.dtype), ()
        return super().reducer_override(obj)
