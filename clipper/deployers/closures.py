"""Saving a user's function so that a process without the user's files can load it.

cloudpickle carries functions of ``__main__`` by value. Functions of the user's own modules would
travel by reference and fail in the container, so those modules travel by value as well.
"""

from __future__ import annotations

import contextlib
import inspect
import pathlib
from collections.abc import Callable, Iterator, Mapping
from types import CodeType
from typing import Any

import cloudpickle

from clipper.artifacts import FUNCTION_FILE
from clipper.deployers.local_modules import LocalModules
from clipper.errors import ClipperException


def save_function(func: Callable[..., Any], directory: pathlib.Path) -> pathlib.Path:
    """Write the function to the model directory and return the file's path.

    Raises:
        ClipperException: not callable, or something that it uses cannot be pickled; named.
    """
    path = directory / FUNCTION_FILE
    path.write_bytes(serialize_function(func))
    return path


def serialize_function(func: Callable[..., Any]) -> bytes:
    """Return the cloudpickle of a function, with the user's own modules by value.

    Raises:
        ClipperException: not callable, or something that it uses cannot be pickled; named.
    """
    if not callable(func):
        raise ClipperException(f"Cannot deploy {func!r}: it is not a function")
    with local_modules_by_value():
        try:
            return bytes(cloudpickle.dumps(func))
        except Exception as error:
            raise ClipperException(_explanation(func, error)) from error


@contextlib.contextmanager
def local_modules_by_value() -> Iterator[None]:
    """While this is open, cloudpickle carries modules that are not installed by value."""
    already = cloudpickle.list_registry_pickle_by_value()
    modules = [module for module in LocalModules.here().loaded() if module.__name__ not in already]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _explanation(func: Callable[..., Any], error: Exception) -> str:
    name = getattr(func, "__qualname__", repr(func))
    culprits = _culprits(func)
    what = f" because of {', '.join(culprits)}" if culprits else ""
    return (
        f"Cannot serialize the function {name}{what}: {error}. Create such objects inside the "
        "function when it is first called, instead of capturing them"
    )


def _culprits(func: Callable[..., Any]) -> list[str]:
    return [
        f"{name} ({type(value).__module__}.{type(value).__qualname__})"
        for name, value in _captured(func).items()
        if not _is_picklable(value)
    ]


def _captured(func: Callable[..., Any]) -> Mapping[str, Any]:
    """What a function drags along, by the name it is used under."""
    function = inspect.unwrap(func)
    if inspect.ismethod(function):
        return {"self": function.__self__}
    if not inspect.isfunction(function):
        return getattr(func, "__dict__", {})
    nonlocals = inspect.getclosurevars(function).nonlocals
    used = _names_in(function.__code__) & set(function.__globals__)
    globals_ = {name: function.__globals__[name] for name in sorted(used)}
    defaults = {f"default {i}": value for i, value in enumerate(function.__defaults__ or ())}
    return {**globals_, **nonlocals, **defaults}


def _names_in(code: CodeType) -> set[str]:
    """Names that a function uses, also inside its comprehensions and inner functions."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*(_names_in(one) for one in inner))


def _is_picklable(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True
