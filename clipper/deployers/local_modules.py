"""Which modules are the user's own: no package index has them, so they travel with the model."""

from __future__ import annotations

import dataclasses
import pathlib
import site
import sys
import sysconfig
from types import ModuleType

from clipper.deployers.distributions import packages_of_local_directories

_NEVER = frozenset({"__main__", "__mp_main__", "clipper", "clipper_admin"})
"""cloudpickle carries the first two by itself, and every container has the others."""


@dataclasses.dataclass(frozen=True, slots=True)
class LocalModules:
    """Tells the user's modules from installed ones."""

    installed: tuple[pathlib.Path, ...]
    """Directories whose modules are not the user's."""
    own_packages: frozenset[str]
    """Top-level names in those directories that are the user's all the same."""

    @classmethod
    def here(cls) -> LocalModules:
        """Return what holds for this interpreter at this moment."""
        return cls(_installed_directories(), packages_of_local_directories())

    def has(self, module: str, path: pathlib.Path) -> bool:
        """Whether a module, by its dotted name and its file, is the user's own."""
        top_level = module.partition(".")[0]
        if top_level in _NEVER:
            return False
        if top_level in self.own_packages:
            return True
        if {"site-packages", "dist-packages"} & set(path.parts):
            return False
        resolved = path.resolve()
        return not any(resolved.is_relative_to(directory) for directory in self.installed)

    def loaded(self) -> list[ModuleType]:
        """Return those of the user's modules that are imported."""
        return [
            module
            for name, module in list(sys.modules.items())
            if isinstance(module, ModuleType)
            and name == module.__name__
            and isinstance(file := getattr(module, "__file__", None), str)
            and self.has(name, pathlib.Path(file))
        ]


def _installed_directories() -> tuple[pathlib.Path, ...]:
    """The standard library, and every place that packages are installed to."""
    paths = {sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), site.getusersitepackages()}
    # `pip install --target` makes a directory on the import path that looks like site-packages.
    paths |= {path for path in sys.path if path and any(pathlib.Path(path).glob("*.dist-info"))}
    return tuple(pathlib.Path(path).resolve() for path in paths if path)
