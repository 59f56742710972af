"""The training environment, as far as a function and its model need it: what pip installs again.

``requirements.txt`` names what they use directly, at the versions installed here;
``constraints.txt`` the versions here of everything that those bring along.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterable

from packaging.utils import canonicalize_name

from clipper.artifacts import CONSTRAINTS_FILE, REQUIREMENTS_FILE
from clipper.deployers.distributions import Providers, closure_of, source_of
from clipper.deployers.local_sources import is_importable
from clipper.deployers.used_modules import UsedModules

_OWN_DISTRIBUTIONS = frozenset({"clipper-serving", "cloudpickle"})  # every container has them


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """What pip has to install for a model."""

    requirements: tuple[str, ...]
    """Requirement lines, sorted."""
    constraints: tuple[str, ...]
    """Constraint lines, sorted."""
    problems: tuple[str, ...]
    """Sentences for the user: what cannot be replicated, and what to do."""

    def describe(self, model: str) -> str:
        """Return one line that says what the image of a model (``name:version``) gets."""
        what = ", ".join(self.requirements) or "no packages besides its base image's"
        return f"the image of {model} gets {what}"

    def save(self, directory: pathlib.Path) -> None:
        """Write both files into a model directory."""
        (directory / REQUIREMENTS_FILE).write_text(_lines(self.requirements))
        (directory / CONSTRAINTS_FILE).write_text(_lines(self.constraints))


def find_environment(used: UsedModules, modules: Iterable[str] = ()) -> Environment:
    """Return the environment that the used modules need, as it is installed here.

    Args:
        modules: further modules, such as those that a framework's container imports.
    """
    providers = Providers()
    needed = used.referenced | used.imported | set(modules)
    names = {name for module in needed if (name := providers.provider(module)) is not None}
    sources = {name: source_of(name) for name in names if not _is_own(name)}
    requirements = sorted(one.requirement for one in sources.values() if one.requirement)
    problems = [one.problem for _, one in sorted(sources.items()) if one.problem]
    closure = closure_of(requirements)
    return Environment(
        tuple(requirements),
        tuple(sorted(f"{name}=={version}" for name, version in closure.items())),
        (*problems, *_absent(used.imported, providers)),
    )


def _is_own(name: str) -> bool:
    return canonicalize_name(name) in _OWN_DISTRIBUTIONS


def _absent(imported: Iterable[str], providers: Providers) -> list[str]:
    """Imports of packages that are not installed here, and so have no version to replicate."""
    tops = {module.partition(".")[0] for module in imported} - sys.stdlib_module_names
    absent = sorted(
        top for top in tops if providers.provider(top) is None and not is_importable(top)
    )
    return [
        f"The function imports {top}, which is not installed here: if the model needs it, name "
        "all its packages in pkgs_to_install"
        for top in absent
    ]


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
