"""`policy_options` as users write them → the checked options of a policy."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from clipper.errors import InvalidRequest
from clipper.selection.policy import SelectionPolicy

FIELD = "policy_options"

_NOUNS = {
    "float": "a number",
    "int": "a whole number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_BOUNDS = {"<=": "of at most", ">=": "of at least", "<": "below", ">": "above"}
_PATH = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_SOME_KEY = re.compile(r"\.(\w+)\[\.\.\.\]")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`$")
_EXPECTED = re.compile(r"Expected `([^`]+)`(?: (<=|>=|<|>) (\S+))?(?: of length (<=|>=) (\d+))?")


def decode_options(policy: type[SelectionPolicy], given: Mapping[str, Any]) -> msgspec.Struct:
    """Return the options of a policy, complete and within their bounds.

    A check of several options together raises ValueError in the struct's ``__post_init__``, with
    the option that is wrong, a colon and a blank in front of its text.

    Raises:
        InvalidRequest: naming the field, what was expected and what was given instead.
    """
    for path, value in _numbers(dict(given)):
        if not math.isfinite(value):
            raise InvalidRequest(f"{FIELD}{path}: expected a finite number, got {value}")
    try:
        return msgspec.convert(dict(given), policy.Options)
    except msgspec.ValidationError as error:
        raise InvalidRequest(_explain(policy, given, str(error))) from error


def option_schemas(policy: type[SelectionPolicy]) -> dict[str, dict[str, Any]]:
    """Return the JSON schema of every option, with its default and description."""
    schema = msgspec.json.schema(policy.Options)["$defs"][policy.Options.__name__]
    properties: dict[str, dict[str, Any]] = schema["properties"]
    return properties


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(item, f"{path}[{index}]")


def _explain(policy: type[SelectionPolicy], given: Mapping[str, Any], text: str) -> str:
    found = _PATH.search(text)
    path = found.group(1) if found else ""
    text = text[: found.start()] if found else text
    steps = _steps(policy, given, path)
    name = FIELD + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    unknown = _UNKNOWN.match(text)
    if unknown:
        return f"{name}.{unknown.group(1)}: unknown option{'' if steps else _known(policy)}"
    value: Any = given
    for step in steps:
        value = value[step]
    expected = _EXPECTED.match(text)
    if expected:
        return f"{name}: expected {_describe(*expected.groups())}, got {_shown(value)}"
    if text.startswith("Invalid enum value") and len(steps) == 1:
        choices = option_schemas(policy)[str(steps[0])].get("enum", ())
        allowed = ", ".join(f"'{choice}'" for choice in choices)
        return f"{name}: expected one of {allowed}, got {_shown(value)}"
    if text.partition(":")[0] in option_schemas(policy):
        return f"{name}.{text}"  # raised by the options' own check
    return f"{name}: {text}"


def _known(policy: type[SelectionPolicy]) -> str:
    names = ", ".join(field.name for field in msgspec.structs.fields(policy.Options))
    return f" of policy '{policy.name}'; it has" + (f": {names}" if names else " none")


def _describe(
    kinds: str, bound: str | None, limit: str | None, length: str | None, size: str | None
) -> str:
    nouns = " or ".join(_NOUNS.get(kind.strip(), kind.strip()) for kind in kinds.split("|"))
    if bound is not None and limit is not None:
        return f"{nouns} {_BOUNDS[bound]} {limit}"
    if length is not None:
        return f"{nouns} with a length {_BOUNDS[length]} {size}"
    return nouns


def _steps(policy: type[SelectionPolicy], given: Mapping[str, Any], path: str) -> list[str | int]:
    """Return the keys and indices that lead to the faulty value, as far as they can be told."""
    some_key = _SOME_KEY.match(path)
    steps: list[str | int] = []
    if some_key:
        option = some_key.group(1)
        steps = [option, *_faulty_key(policy, option, given[option])]
        path = path[some_key.end() :] if len(steps) > 1 else ""
    return steps + [key or int(index) for key, index in _STEP.findall(path.partition("[...]")[0])]


def _faulty_key(policy: type[SelectionPolicy], option: str, value: Mapping[str, Any]) -> list[str]:
    """msgspec says only that some entry of an object is wrong: return the key of the first."""
    for key, item in value.items():
        try:
            msgspec.convert({option: {key: item}}, policy.Options)
        except msgspec.ValidationError as error:
            if _SOME_KEY.search(str(error)):
                return [key]
    return []


def _shown(value: Any) -> str:
    try:
        shown = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError):
        shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
