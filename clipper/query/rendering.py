"""A model's output text as the JSON value that responses embed (spec §2.4)."""

from __future__ import annotations

import msgspec

from clipper.datatypes import Output


def render_output(text: bytes) -> Output:
    """Return the output with its JSON form: itself if it is JSON, else the text as a string."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Output(text, msgspec.json.encode(text.decode("utf-8", "replace")))
    return Output(text, text)
