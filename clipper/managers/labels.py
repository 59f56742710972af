"""Labels that managers put on what they run (spec §10.4)."""

from __future__ import annotations

import re

from clipper.errors import ClipperException

CLUSTER_LABEL = "ai.clipper.container.label"
"""Value: the cluster name; on everything of a cluster."""

MODEL_LABEL = "ai.clipper.model_container.label"
"""Value: `create_model_container_label`; on model containers."""

_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


def create_model_container_label(name: str, version: str) -> str:
    """Return ``<name>_<version>``; unambiguous, since neither part may contain ``_``.

    Raises:
        ClipperException: a part that would make the label, or a path named after it, ambiguous.
    """
    for what, part in (("name", name), ("version", version)):
        if not _PART.fullmatch(part):
            raise ClipperException(
                f"Invalid value: {part}: a model {what} consists of letters, digits, '-' and '.', "
                "and begins and ends with a letter or digit."
            )
    return f"{name}_{version}"


def check_cluster_name(name: str) -> None:
    """Return if containers, paths and images can be named after the cluster.

    Raises:
        ClipperException: they cannot.
    """
    if not _PART.fullmatch(name) or len(name) > _CLUSTER_NAME_LIMIT:
        raise ClipperException(
            f"Invalid value: {name[:_CLUSTER_NAME_LIMIT]}: a cluster name consists of letters, "
            "digits, '-' and '.', begins and ends with a letter or digit, and has at most "
            f"{_CLUSTER_NAME_LIMIT} characters."
        )


_CLUSTER_NAME_LIMIT = 100


def parse_model_container_label(label: str) -> tuple[str, str]:
    """Return the name and version that `create_model_container_label` joined.

    Raises:
        ClipperException: not such a label.
    """
    name, separator, version = label.partition("_")
    if not separator or not _PART.fullmatch(name) or not _PART.fullmatch(version):
        raise ClipperException(f"Unable to parse model container label {label}")
    return name, version
