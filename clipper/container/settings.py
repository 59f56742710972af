"""The environment of a model container (spec §1.5), read once when it starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from clipper.datatypes import InputType
from clipper.errors import ClipperException
from clipper.rpc.channel import host_port

DEFAULT_METRICS_PORT = 1390


@dataclasses.dataclass(frozen=True)
class ContainerSettings:
    """What a container is told by whoever starts it."""

    model_name: str
    """CLIPPER_MODEL_NAME."""
    model_version: str
    """CLIPPER_MODEL_VERSION."""
    model_path: str
    """CLIPPER_MODEL_PATH: directory of the saved model."""
    host: str = "127.0.0.1"
    """CLIPPER_IP: name or address of the frontend that is dialled first; resolved at each dial."""
    port: int = 7000
    """CLIPPER_PORT: RPC port of that frontend."""
    input_type: InputType = InputType.DOUBLES
    """CLIPPER_INPUT_TYPE: any alias of spec §1.1."""
    token: str = ""
    """CLIPPER_TOKEN: shared secret of the cluster; empty when it has none."""
    metrics_port: int | None = DEFAULT_METRICS_PORT
    """CLIPPER_METRICS_PORT: 0 takes any free port; empty or "off" (here None) serves no metrics."""
    metrics_host: str = "0.0.0.0"
    """CLIPPER_METRICS_HOST: address that the metrics are served on."""
    drain_timeout_s: float = 30.0
    """CLIPPER_DRAIN_TIMEOUT_S: after SIGTERM the process ends by force when this has passed."""
    ready_file: str | None = None
    """CLIPPER_READY_FILE: exists while the container serves; empty (here None) writes none."""

    @property
    def entry_address(self) -> str:
        """The frontend's address."""
        return host_port(self.host, self.port)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ContainerSettings:
        """Read the settings.

        Raises:
            ClipperException: a required variable is missing or a value cannot be read.
        """
        return cls(
            model_name=_required(environment, "CLIPPER_MODEL_NAME"),
            model_version=_required(environment, "CLIPPER_MODEL_VERSION"),
            model_path=_required(environment, "CLIPPER_MODEL_PATH"),
            host=environment.get("CLIPPER_IP") or cls.host,
            port=_number(environment, "CLIPPER_PORT", cls.port),
            input_type=_input_type(environment.get("CLIPPER_INPUT_TYPE") or cls.input_type),
            token=environment.get("CLIPPER_TOKEN", ""),
            metrics_port=_metrics_port(environment),
            metrics_host=environment.get("CLIPPER_METRICS_HOST") or cls.metrics_host,
            drain_timeout_s=_seconds(environment, "CLIPPER_DRAIN_TIMEOUT_S", cls.drain_timeout_s),
            ready_file=environment.get("CLIPPER_READY_FILE") or None,
        )


def _required(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name)
    if not value:
        raise ClipperException(
            f"{name} environment variable must be set: containers are started by a container "
            "manager, or by hand with this variable in the environment"
        )
    return value


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise ClipperException(f"{name} must be a port number, not {text!r}")
    return int(text)


def _metrics_port(environment: Mapping[str, str]) -> int | None:
    name = "CLIPPER_METRICS_PORT"
    if environment.get(name, "on").strip().lower() in ("", "off"):
        return None
    return _number(environment, name, DEFAULT_METRICS_PORT)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise ClipperException(f"{name} must be a number of seconds, not {text!r}")
    return seconds


def _input_type(text: str) -> InputType:
    try:
        return InputType.parse(text)
    except ValueError as error:
        raise ClipperException(f"CLIPPER_INPUT_TYPE: {error}") from error
