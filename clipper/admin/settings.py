"""What a user may say about a model version, checked as a whole before anything is started."""

from __future__ import annotations

import dataclasses
import json
from typing import TypedDict

from clipper.admin.names import (
    canonical_input_type,
    check_batch_size,
    check_labels,
    check_model_name,
    check_model_version,
)
from clipper.datatypes import ADAPTIVE_BATCH_SIZE, CONTAINERLESS_MODEL_IMAGE
from clipper.errors import ClipperException

DEPLOY_TIMEOUT_S = 120.0
"""How long deploying and scaling wait for containers, unless told otherwise."""


class DeployOptions(TypedDict, total=False):
    """Keyword-only options that every deploying function passes on."""

    batch_policy: str
    batch_wait_ms: float
    cache: bool
    probe_input: object
    timeout_s: float


@dataclasses.dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model version as it is going to be registered."""

    name: str
    version: str
    input_type: str
    image: str = CONTAINERLESS_MODEL_IMAGE
    labels: tuple[str, ...] = ()
    batch_size: int = ADAPTIVE_BATCH_SIZE
    batch_policy: str = "aimd"
    batch_wait_ms: float = 0.0
    cache: bool = True
    probe_input: object = None
    """One input, as JSON would hold it, that a new replica must answer before it serves."""

    def checked(self) -> ModelSettings:
        """Return the settings with the input type in its canonical spelling.

        Raises:
            ClipperException: a value that can never be registered.
        """
        check_batch_size(self.batch_size)
        check_labels(list(self.labels))
        if not self.batch_wait_ms >= 0:
            raise ClipperException(
                f"Invalid batch_wait_ms: {self.batch_wait_ms}. It must be 0 or more milliseconds"
            )
        self._check_probe_input()
        return dataclasses.replace(self, input_type=canonical_input_type(self.input_type))

    def deployable(self) -> ModelSettings:
        """Like `checked`, and the names must suit image and host names (spec §10.3)."""
        check_model_name(self.name)
        check_model_version(self.version)
        return self.checked()

    def request(self) -> dict[str, object]:
        """Body of ``/admin/add_model``."""
        body: dict[str, object] = {
            "model_name": self.name,
            "model_version": self.version,
            "labels": list(self.labels),
            "input_type": self.input_type,
            "container_name": self.image,
            "model_data_path": "DEPRECATED",
            "batch_size": self.batch_size,
            "batch_policy": self.batch_policy,
            "batch_wait_ms": self.batch_wait_ms,
            "cache": self.cache,
        }
        return body if self.probe_input is None else {**body, "probe_input": self.probe_input}

    def _check_probe_input(self) -> None:
        try:
            json.dumps(self.probe_input)
        except (TypeError, ValueError) as error:
            raise ClipperException(
                f"Invalid probe_input: {error}. Pass one input as JSON would hold it, "
                "e.g. [1.0, 2.0] or a string"
            ) from error


def check_timeout(timeout_s: float) -> None:
    """Raise ClipperException unless the timeout is a positive number of seconds."""
    if not timeout_s > 0:
        raise ClipperException(
            f"Invalid timeout_s: {timeout_s}. It must be a positive number of seconds"
        )
