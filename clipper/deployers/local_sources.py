"""Sources of the user's own modules that functions import when they run.

What a function refers to travels inside its pickle. A module that it only imports in its body does
not: its file goes to the model's ``modules`` directory, with the local modules it imports in turn.
"""

from __future__ import annotations

import importlib.machinery
import pathlib
import shutil
import sys
from collections.abc import Iterable, Sequence

from clipper.artifacts import MODULES_DIR
from clipper.deployers.local_modules import LocalModules
from clipper.deployers.used_modules import imports_of_source


def save_local_sources(imported: Iterable[str], directory: pathlib.Path) -> frozenset[str]:
    """Copy the local modules among the dotted names, and what they import, to a model directory.

    Returns:
        Every name that the copied files import, local or not. Data files are not copied.

    Raises:
        SyntaxError: a local module is no valid Python.
    """
    local = LocalModules.here()
    waiting = list(imported)
    seen: set[str] = set()
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        for module, path in _files(name):
            if module in seen or not local.has(module, path):
                continue
            seen.add(module)
            is_package = path.name == "__init__.py"
            _copy(module, path, is_package, directory / MODULES_DIR)
            package = module if is_package else module.rpartition(".")[0]
            imports = imports_of_source(path, package)
            found |= imports
            waiting += imports
    return frozenset(found)


def is_importable(module: str) -> bool:
    """Whether a top-level module can be imported here, by any finder."""
    return module in sys.modules or _find(module, None) is not None


def _files(name: str) -> list[tuple[str, pathlib.Path]]:
    """Python files that importing the dotted name runs, outermost first; imports nothing."""
    files = []
    search: Sequence[str] | None = None
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        module = ".".join(parts[:depth])
        spec = _find(module, search)
        if spec is None:
            break
        if spec.origin and spec.origin.endswith(".py"):
            files.append((module, pathlib.Path(spec.origin)))
        if spec.submodule_search_locations is None:
            break
        search = list(spec.submodule_search_locations)
    return files


def _find(module: str, search: Sequence[str] | None) -> importlib.machinery.ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        spec = None if find_spec is None else find_spec(module, search)
        if isinstance(spec, importlib.machinery.ModuleSpec):
            return spec
    return None


def _copy(module: str, path: pathlib.Path, is_package: bool, target: pathlib.Path) -> None:
    place = target.joinpath(*module.split("."))
    place = place / "__init__.py" if is_package else place.with_suffix(".py")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, place)
