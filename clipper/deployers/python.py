"""Deploy plain Python functions (spec §10.7)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from clipper.admin.connection import ClipperConnection
from clipper.admin.settings import DeployOptions
from clipper.deployers import endpoint
from clipper.deployers.deployment import Framework, deploy, nothing_to_save

_CLOSURE = Framework("Python closure", family="python-closure", noun="Python")


def create_endpoint(
    clipper_conn: ClipperConnection,
    name: str,
    input_type: str,
    func: Callable[[list[Any]], Any],
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
    """Register an application, deploy the function under the same name and link them.

    Arguments are those of `register_application` and `deploy_python_closure`. When a step fails,
    what the earlier ones made is removed.

    Raises:
        ClipperException: as those two.
    """
    run = functools.partial(
        deploy_python_closure, clipper_conn, name, version, input_type, func,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install,
    )  # fmt: skip
    app = (name, input_type, default_output, slo_micros)
    endpoint.create(clipper_conn, app, name, str(version), options, run)


def deploy_python_closure(
    clipper_conn: ClipperConnection,
    name: str,
    version: str | int,
    input_type: str,
    func: Callable[[list[Any]], Any],
    base_image: str = "default",
    labels: Sequence[str] | None = None,
    registry: str | None = None,
    num_replicas: int = 1,
    batch_size: int = -1,
    pkgs_to_install: Sequence[str] | None = None,
    **options: Unpack[DeployOptions],
) -> None:
    """Deploy a function that takes a list of inputs and returns one output per input.

    Args:
        func: closure, function or callable object; the user's own modules travel with it.
        pkgs_to_install: pip requirements for the image; None records those installed here that
            the function uses.
        options: `batch_policy`, `batch_wait_ms`, `cache`, `probe_input`, `timeout_s` of
            `ClipperConnection.deploy_model`.

    Raises:
        ClipperException: the function cannot be serialized, no image for this Python, or as
            `build_and_deploy_model`.
    """
    deploy(
        _CLOSURE, func, nothing_to_save, clipper_conn, name, version, input_type,
        base_image, labels, registry, num_replicas, batch_size, pkgs_to_install, options,
    )  # fmt: skip
