"""The distributions installed here: which one provides a module, and how pip gets the same one."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterable, Sequence
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

_COMPILED = (".so", ".pyd", ".dylib")


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where pip gets a distribution again."""

    requirement: str | None
    """Requirement line; None: pip cannot get it."""
    problem: str | None = None
    """What the user must know, with the next step."""


class Providers:
    """Distributions by the modules that they provide; reads the installed metadata once."""

    def __init__(self) -> None:
        self._by_top_level = importlib.metadata.packages_distributions()

    def provider(self, module: str) -> str | None:
        """Return the name of the distribution that provides a dotted module name, or None.

        Of several that share the top-level name, such as ``google``, the one whose files are
        nearest to the module; None when the name stops above where they part.
        """
        names = sorted(set(self._by_top_level.get(module.partition(".")[0], ())))
        if len(names) < 2:
            return names[0] if names else None
        depths = {name: _depth(name, module) for name in names}
        deepest = max(depths.values())
        nearest = [name for name in names if depths[name] == deepest]
        if len(nearest) == 1:
            return nearest[0]
        if not any(_owns(name, module) for name in nearest):
            return None  # a mere directory of a namespace
        # The same files twice, as of opencv-python and its headless twin: one is enough.
        same = [name for name in nearest if canonicalize_name(name) == canonicalize_name(module)]
        return (same or nearest)[0]


def source_of(name: str) -> Source:
    """Return where an installed distribution comes from (PEP 610, ``direct_url.json``)."""
    distribution = importlib.metadata.distribution(name)
    pinned = f"{distribution.name}=={public_version(distribution.version)}"
    origin = _direct_url(distribution)
    url = str(origin.get("url", ""))
    if "dir_info" in origin:
        return _local_source(distribution, url)
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        line = f"{distribution.name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
        return Source(
            None,
            f"{distribution.name} was installed from {url}, which is no package index: it is left "
            f"out. Name everything that the model needs in pkgs_to_install, this one as '{line}' "
            f"where the base image has {vcs['vcs']}, or as a wheel",
        )
    if not url.startswith("file:") and "archive_info" in origin:
        return Source(f"{distribution.name} @ {url}")
    if url:
        return Source(
            pinned,
            f"{distribution.name} was installed from the local file {url}. The image takes "
            f"{pinned} from the package index; if that has none, set PIP_EXTRA_INDEX_URL or "
            "PIP_FIND_LINKS to a place that has it",
        )
    return Source(pinned)


def packages_of_local_directories() -> frozenset[str]:
    """Return top-level modules that pip copied from a directory of this machine; pure Python only.

    Those of editable installs stay where they are and need no telling.
    """
    names: set[str] = set()
    for distribution in importlib.metadata.distributions():
        origin = _direct_url(distribution).get("dir_info")
        if origin is not None and not origin.get("editable") and not _compiled(distribution):
            files = [PurePosixPath(file) for file in distribution.files or ()]
            names |= {file.parts[0].removesuffix(".py") for file in files if file.suffix == ".py"}
    return frozenset(names)


def closure_of(lines: Iterable[str]) -> dict[str, str]:
    """Return name and version of every installed distribution that requirements bring along.

    Follows ``Requires-Dist`` with the markers of this interpreter; without the requirements'
    own, and without what is not installed or cannot be had from an index.
    """
    waiting = [Requirement(line) for line in lines]
    given = {canonicalize_name(requirement.name) for requirement in waiting}
    seen: set[tuple[str, str]] = set()
    found: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        distribution = _installed(requirement.name)
        if distribution is None:
            continue
        name = canonicalize_name(distribution.name)
        if name not in given and not _direct_url(distribution):
            found[distribution.name] = public_version(distribution.version)
        for extra in {"", *requirement.extras}:
            if (name, extra) not in seen:
                seen.add((name, extra))
                waiting += _requirements(distribution.requires or (), extra)
    return found


def public_version(version: str) -> str:
    """Return the version without its local label: no index has ``2.13.0+cpu``."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def _local_source(distribution: Distribution, url: str) -> Source:
    """Local sources travel inside the function, which compiled modules cannot."""
    compiled = _compiled(distribution)
    if not compiled:
        return Source(None)
    return Source(
        None,
        f"{distribution.name} was installed from {url} and holds compiled code ({compiled[0]}), "
        "which cannot travel with the function. Build a wheel of it, put it where pip finds it "
        "(PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS), and install it from there",
    )


def _compiled(distribution: Distribution) -> list[str]:
    return [str(file) for file in distribution.files or () if file.suffix in _COMPILED]


def _direct_url(distribution: Distribution) -> dict[str, Any]:
    text = distribution.read_text("direct_url.json")
    origin: dict[str, Any] = json.loads(text) if text else {}
    return origin


def _requirements(lines: Sequence[str], extra: str) -> list[Requirement]:
    """Those that hold here; with an extra, only those that it adds."""
    wanted = []
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # metadata of old tools; pip ignores such distributions' versions as well
        if requirement.marker is None:
            holds = not extra
        else:
            holds = requirement.marker.evaluate({"extra": extra})
        if holds:
            wanted.append(requirement)
    return wanted


def _installed(name: str) -> Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except PackageNotFoundError:
        return None


def _depth(name: str, module: str) -> int:
    """How many parts of the module's dotted name are a path of the distribution's files."""
    parts = module.split(".")
    paths = {part for file in _paths(name) for part in (file, *file.parents)}
    depths = (depth for depth in range(len(parts), 0, -1) if PurePosixPath(*parts[:depth]) in paths)
    return next(depths, 0)


def _owns(name: str, module: str) -> bool:
    """Whether a file of the distribution is the module or one that it lies in."""
    parts = module.split(".")
    paths = set(_paths(name))
    prefixes = [PurePosixPath(*parts[:depth]) for depth in range(1, len(parts) + 1)]
    return any(prefix in paths or prefix / "__init__" in paths for prefix in prefixes)


def _paths(name: str) -> list[PurePosixPath]:
    """Module files of a distribution, without suffixes such as ``.cpython-311-x86_64.so``."""
    files = importlib.metadata.distribution(name).files or ()
    return [
        PurePosixPath(file).with_name(file.name.partition(".")[0])
        for file in files
        if file.suffix in (".py", *_COMPILED)
    ]
