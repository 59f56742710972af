"""Images of local mode: bundles of a model directory and the framework that loads it.

``<bundles>/<name>/<version>/<hash>/`` holds a copy of the model directory and ``bundle.json``; the
link ``current`` beside it names the newest build. Builds replace the link atomically and leave
earlier directories to the replicas that use them; `remove_old_builds` removes them after that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from clipper.artifacts import MODULES_DIR
from clipper.errors import ClipperException
from clipper.managers.labels import create_model_container_label
from clipper.managers.local_state import locked, read_json
from clipper.managers.stock_images import FAMILIES, Family, parse_stock_image

BUNDLE_FILE = "bundle.json"

_BUILD_LOCK_LIMIT_S = 10.0
_CLASS_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What a local image consists of; saved as ``bundle.json`` without the path."""

    image: str
    framework: str
    """Framework of ``clipper.container``, or ``module:Class``."""
    requirements: tuple[str, ...]
    python: str
    """Interpreter that runs it."""
    isolated: bool
    path: str


def framework_of(base_image: str) -> str:
    """Return the framework that a stock image name or ``module:Class`` stands for.

    Registry and tag do not matter: local mode has one version, its own.

    Raises:
        ClipperException: unknown image (the text lists the known), or one of another Python.
    """
    family = _stock_family(base_image)
    if family is not None:
        return family.framework
    if _CLASS_NAME.fullmatch(base_image):
        return base_image
    raise ClipperException(f"Unknown image: {base_image}. {known_images()}")


def known_images() -> str:
    """Return a sentence that lists what may be given as an image."""
    names = ", ".join(f"{family}-container" for family in FAMILIES)
    return (
        f"Local mode knows {names} (with any registry and tag), images made by build_model, and, "
        "as a base image, module:Class of a class derived from clipper.container's Model."
    )


def build_bundle(
    bundles: Path, name: str, version: str, data: Path, framework: str, image: str,
    requirements: Sequence[str], python: str | None,
) -> Bundle:  # fmt: skip
    """Copy the model directory into a bundle and make it the version's current one.

    Args:
        python: interpreter of its isolated environment; None: this one.

    Raises:
        ClipperException: name, version or path are inadmissible.
    """
    create_model_container_label(name, version)
    if not data.is_dir():
        raise ClipperException(f"The model data path {data} is not a directory.")
    home = bundles / name / version
    home.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=home, prefix=".build-"))
    try:
        shutil.copytree(data, staging, dirs_exist_ok=True)
        if ":" in framework:
            _add_module(staging, framework.partition(":")[0].partition(".")[0])
        record = {
            "image": image,
            "framework": framework,
            "requirements": list(requirements),
            "python": python or sys.executable,
            "isolated": python is not None,
        }
        (staging / BUNDLE_FILE).write_text(json.dumps(record, indent=2), encoding="utf-8")
        with locked(bundles / name / f".build-{version}", _BUILD_LOCK_LIMIT_S):
            path = _publish(staging, home)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return _read_bundle(path)


@contextlib.contextmanager
def claim_version(bundles: Path, name: str, version: str) -> Iterator[None]:
    """Let nobody else claim the version until the block ends.

    Raises:
        ClipperException: another client has claimed it, or it cannot be part of a path.
    """
    create_model_container_label(name, version)
    (bundles / name).mkdir(parents=True, exist_ok=True)
    with locked(bundles / name / f".deploy-{version}") as acquired:
        if not acquired:
            raise ClipperException(
                f"Another client is deploying {name}:{version} at this moment, or scaling it. "
                "Wait until it is done, or deploy under another version."
            )
        yield


def remove_old_builds(bundles: Path, name: str, version: str, in_use: Collection[Path]) -> None:
    """Remove the version's builds that are neither its current one nor in use."""
    home = bundles / name / version
    if not home.is_dir():
        return
    with locked(bundles / name / f".build-{version}", _BUILD_LOCK_LIMIT_S) as acquired:
        if not acquired:
            return
        kept = {(home / "current").resolve(), *in_use}
        for build in home.iterdir():
            if not build.name.startswith(".") and not build.is_symlink() and build not in kept:
                shutil.rmtree(build, ignore_errors=True)


def find_bundle(bundles: Path, cluster_identifier: str, image: str) -> Bundle | None:
    """Return the current bundle with this image name, or None."""
    local_name, _, version = image.rpartition("/")[2].rpartition(":")
    prefix = f"{cluster_identifier}-"
    name = local_name.removeprefix(prefix)
    if not local_name.startswith(prefix) or ".." in (name, version) or not (name and version):
        return None
    path = (bundles / name / version / "current").resolve()
    if not (path / BUNDLE_FILE).is_file():
        return None
    bundle = _read_bundle(path)
    return bundle if bundle.image == image else None


def resolve_image(bundles: Path, empty: Path, cluster_identifier: str, image: str) -> Bundle:
    """Return what a deployable image consists of: a bundle, or a stock image without data.

    Raises:
        ClipperException: unknown image, or a stock image that needs a model.
    """
    bundle = find_bundle(bundles, cluster_identifier, image)
    if bundle is not None:
        return bundle
    family = _stock_family(image)
    if family is not None and not family.needs_model:
        return Bundle(image, family.framework, (), sys.executable, False, str(empty))
    if family is not None:
        raise ClipperException(
            f"Image {image} holds no model. Make an image of your model with "
            f'build_model(..., base_image="{image}") and deploy that.'
        )
    raise ClipperException(f"Unknown image: {image}. {known_images()}")


def _stock_family(image: str) -> Family | None:
    stock = parse_stock_image(image)
    if stock is None:
        return None
    here = f"{sys.version_info.major}{sys.version_info.minor}"
    if stock.python not in ("", here):
        raise ClipperException(
            f"Image {image} is for Python {stock.python[0]}.{stock.python[1:]}, but local mode "
            "runs models with this interpreter, Python "
            f"{sys.version_info.major}.{sys.version_info.minor}. Use "
            f"{stock.family.pattern.format(python=here)}, or run this script with the other Python."
        )
    return stock.family


def _read_bundle(path: Path) -> Bundle:
    record = read_json(path / BUNDLE_FILE)
    assert record is not None
    return Bundle(path=str(path), **{**record, "requirements": tuple(record["requirements"])})


def _publish(staging: Path, home: Path) -> Path:
    target = home / _content_hash(staging)
    try:
        staging.rename(target)
    except OSError:
        # The same content was built before: a directory that is not empty cannot be replaced.
        if not (target / BUNDLE_FILE).is_file():
            raise
    link = home / f".current-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(home / "current")
    return target


def _content_hash(directory: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            name = os.fsencode(path.relative_to(directory))
            digest.update(b"%d:%b%d:" % (len(name), name, path.stat().st_size))
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()[:16]


def _add_module(staging: Path, module: str) -> None:
    """Put the user's module beside the model, unless it is installed or there already."""
    modules = staging / MODULES_DIR
    if (modules / module).exists() or (modules / f"{module}.py").exists():
        return
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ClipperException(
            f"Module {module} of the model class cannot be imported here. Run this where it can "
            f"be, or put it into the directory {MODULES_DIR} of the model data path."
        )
    origin = Path(spec.origin).resolve()
    installed = (sysconfig.get_path(key) for key in ("stdlib", "purelib", "platlib"))
    if any(origin.is_relative_to(Path(path).resolve()) for path in installed):
        return
    modules.mkdir(exist_ok=True)
    if spec.submodule_search_locations:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(origin.parent, modules / module, ignore=ignore)
    else:
        shutil.copy(origin, modules / f"{module}.py")
