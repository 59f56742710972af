"""The image of a model: its name, labels and Dockerfile (spec §9.4, §10.3). Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from clipper.errors import ClipperException
from clipper.managers.docker.build import PIP_VARIABLES

IMAGE_CLUSTER_LABEL = "ai.clipper.image.cluster"
"""On the images of a cluster's models. Not the label of containers: those inherit their image's
labels, and one that a user runs by hand would be taken for a replica."""
IMAGE_MODEL_LABEL = "ai.clipper.image.model"

ENVIRONMENT_DIR = "environment"
"""Directory of the build context with requirements and constraints."""
MODEL_DIR = "model"
"""Directory of the build context with the model's data."""

_NAME_LIMIT, _TAG_LIMIT = 200, 128
"""Characters; names: less than Docker's 255, which counts the registry, too."""

_INSTALLED_FROM = "/opt/clipper-environment"


@dataclasses.dataclass(frozen=True, slots=True)
class BaseImage:
    """What of the base image matters."""

    name: str
    user: str
    """As its USER line has it; empty is root."""
    python: str
    """Such as ``3.11``; empty: it does not say."""


def image_name(cluster: str, registry: str | None, name: str, version: str) -> str:
    """Return ``[<registry>/]<cluster>-<name>:<version>``.

    Raises:
        ClipperException: capital letters, or a length, that no image name may have.
    """
    repository = f"{cluster}-{name}"
    if registry:
        repository = f"{registry.rstrip('/')}/{repository}"
    if repository != repository.lower():
        raise ClipperException(
            f"No image can be named {repository}:{version}: names of images have no capital "
            "letters. Choose a cluster name and registry in lower case."
        )
    for what, part, limit in (("name", repository, _NAME_LIMIT), ("version", version, _TAG_LIMIT)):
        if len(part) > limit:
            raise ClipperException(
                f"The {what} of the model's image would be {len(part)} characters long, and may "
                f"be {limit}: {part[:40]}… Choose a shorter {what} of the model."
            )
    return f"{repository}:{version}"


def check_python(base: BaseImage, here: str) -> None:
    """Return if functions that were pickled ``here`` can be loaded in the image.

    Raises:
        ClipperException: the image has another minor version of Python.
    """
    if base.python not in ("", here):
        raise ClipperException(
            f"The function was pickled by Python {here}, but image {base.name} runs Python "
            f"{base.python}, which cannot load it. Use a base image for Python {here}, or run "
            f"this with Python {base.python}."
        )


def dockerfile(
    base: BaseImage, labels: dict[str, str], *, installs: bool, constrained: bool
) -> str:
    """Return the Dockerfile.

    What changes least stands first: packages are installed again only when they change.

    Args:
        installs: the context has requirements.
        constrained: it has constraints, too.
    """
    lines = [f"FROM {base.name}"]
    if installs:
        lines += [f"ARG {name}" for name in PIP_VARIABLES]
        lines += _as_root(base, [f"COPY {ENVIRONMENT_DIR}/ {_INSTALLED_FROM}/", _pip(constrained)])
    owner = f"--chown={base.user} " if base.user else ""
    lines += [f"COPY {owner}{MODEL_DIR}/ /model/"]
    lines += [f'LABEL {key}="{value}"' for key, value in sorted(labels.items())]
    return "\n".join(lines) + "\n"


def _as_root(base: BaseImage, lines: Sequence[str]) -> list[str]:
    return ["USER root", *lines, f"USER {base.user}"] if base.user else list(lines)


def _pip(constrained: bool) -> str:
    words = "RUN python -m pip install --no-cache-dir --disable-pip-version-check"
    words += f" --root-user-action=ignore -r {_INSTALLED_FROM}/requirements.txt"
    return words + (f" -c {_INSTALLED_FROM}/constraints.txt" if constrained else "")
