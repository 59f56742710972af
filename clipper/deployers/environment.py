"""Which installed distributions a saved function or model needs, as pip requirement lines."""

from __future__ import annotations

import importlib.metadata
import pathlib
import pickletools
import sys
from collections.abc import Iterable, Mapping, Sequence

import cloudpickle

from clipper.artifacts import REQUIREMENTS_FILE
from clipper.deployers.closures import local_modules_by_value

_STRING_OPCODES = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "GLOBAL"})
_OWN_DISTRIBUTIONS = frozenset({"clipper-serving", "cloudpickle"})  # every container has them


def capture_requirements(objects: Iterable[object], modules: Iterable[str] = ()) -> list[str]:
    """Return sorted ``name==version`` lines of the distributions that the objects refer to.

    Found by walking their pickles for names of imported modules, so a module imported inside a
    function counts when it was imported here too. Large numpy buffers are not copied.
    """
    used = set(modules).union(*(modules_of_pickle(_skeleton(one)) for one in objects))
    return requirement_lines(used, importlib.metadata.packages_distributions())


def _skeleton(one: object) -> bytes:
    with local_modules_by_value():
        return bytes(cloudpickle.dumps(one, protocol=5, buffer_callback=lambda _buffer: None))


def modules_of_pickle(pickle: bytes) -> set[str]:
    """Return the top-level names of the imported modules that a pickle mentions."""
    found: set[str] = set()
    for opcode, argument, _position in pickletools.genops(pickle):
        if opcode.name in _STRING_OPCODES and isinstance(argument, str):
            module = argument.split(" ")[0]  # GLOBAL holds "module name"
            if module in sys.modules:
                found.add(module.partition(".")[0])
    return found


def requirement_lines(
    modules: Iterable[str], distributions: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return ``name==version`` of the distributions that provide the top-level modules."""
    names = {name for module in modules for name in distributions.get(module, ())}
    return sorted(
        f"{name}=={importlib.metadata.version(name)}" for name in names - _OWN_DISTRIBUTIONS
    )


def save_requirements(
    objects: Iterable[object], modules: Iterable[str], directory: pathlib.Path
) -> None:
    """Write the requirement lines of the objects and modules into a model directory."""
    lines = capture_requirements(objects, modules)
    (directory / REQUIREMENTS_FILE).write_text("".join(f"{line}\n" for line in lines))
