"""A model's output text as the JSON value that responses embed (spec §2.4)."""

from __future__ import annotations

import functools

import msgspec

from clipper.outputs import Output

_SHORT_BYTES = 32
"""Labels and numbers: the same few come again and again, and are kept once."""


def render_output(text: bytes) -> Output:
    """Return the output with its JSON form: itself if it is JSON, else the text as a string."""
    return _render_short(text) if len(text) <= _SHORT_BYTES else _render(text)


def _render(text: bytes) -> Output:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Output(text, msgspec.json.encode(text.decode("utf-8", "replace")))
    return Output(text, text)


_render_short = functools.lru_cache(maxsize=4096)(_render)
