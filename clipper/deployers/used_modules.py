"""Which modules a saved object leads to: those its pickle names, those its code imports."""

from __future__ import annotations

import ast
import dataclasses
import dis
import io
import pathlib
import pickletools
from collections.abc import Callable, Iterable, Iterator
from types import CodeType, ModuleType
from typing import Any

import cloudpickle

from clipper.deployers.closures import local_modules_by_value

_STRINGS = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})


@dataclasses.dataclass(frozen=True, slots=True)
class UsedModules:
    """Dotted names of modules."""

    referenced: frozenset[str]
    """Loading the pickle imports them."""
    imported: frozenset[str]
    """``import`` statements inside functions that travel by value name them. ``from a import b``
    counts as both ``a`` and ``a.b``, which may be a module."""

    def __or__(self, other: UsedModules) -> UsedModules:
        """Return both together."""
        return UsedModules(self.referenced | other.referenced, self.imported | other.imported)


NO_MODULES = UsedModules(frozenset(), frozenset())


def used_modules(objects: Iterable[object]) -> UsedModules:
    """Return the modules that the pickles of the objects lead to. Large buffers are not copied."""
    used = NO_MODULES
    for one in objects:
        used |= RecordingPickler(buffer_callback=lambda _buffer: None).pickle(one)[1]
    return used


class RecordingPickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """A pickler that notes on its way which modules it comes across; for one object each."""

    def __init__(self, buffer_callback: Callable[[object], object] | None = None) -> None:
        self._stream = io.BytesIO()
        super().__init__(self._stream, protocol=5, buffer_callback=buffer_callback)
        self._modules: set[str] = set()
        self._imports: set[str] = set()

    def pickle(self, one: object) -> tuple[bytes, UsedModules]:
        """Return the pickle, with the user's own modules by value, and what it leads to."""
        with local_modules_by_value():
            self.dump(one)
        data = self._stream.getvalue()
        referenced = self._modules | set(_globals(data))
        return data, UsedModules(frozenset(referenced), frozenset(self._imports))

    def reducer_override(self, obj: Any) -> Any:
        """Note, and leave the rest to cloudpickle."""
        if isinstance(obj, CodeType):
            self._imports |= set(_imports_of_code(obj))
        elif isinstance(obj, ModuleType):
            self._modules.add(obj.__name__)
        return super().reducer_override(obj)


def imports_of_source(path: pathlib.Path, package: str) -> set[str]:
    """Return what a source file imports, anywhere in it.

    Args:
        package: the package that relative imports of this file start from.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            base = ".".join(part for part in (start, node.module) if part)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found - {""}


def _imports_of_code(code: CodeType) -> Iterator[str]:
    """Absolute imports: before IMPORT_NAME stand the level and the names of ``from``."""
    level: object = 0
    names: object = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and level == 0:
            yield instruction.argval
            if isinstance(names, tuple):
                yield from (f"{instruction.argval}.{name}" for name in names)
        level, names = names, instruction.argval


def _globals(pickle: bytes) -> Iterator[str]:
    """Modules of the globals in a pickle of protocol 5: the string below the name on the stack."""
    memo: list[str | None] = []
    strings: list[str | None] = [None, None]
    for opcode, argument, _position in pickletools.genops(pickle):
        if opcode.name == "MEMOIZE":
            memo.append(strings[-1])
        elif opcode.name == "STACK_GLOBAL":
            if strings[0] is not None:
                yield strings[0]
            strings = [None, None]
        elif opcode.name in _STRINGS:
            strings = [strings[1], argument]
        elif opcode.name in _GETS:
            strings = [strings[1], memo[int(argument or 0)]]
        elif opcode.name != "FRAME":
            strings = [None, None]
