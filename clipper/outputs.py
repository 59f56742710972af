"""A model's output, as it waits in the cache and goes out in answers."""

from __future__ import annotations

import msgspec


class Output(msgspec.Struct, frozen=True, gc=False):
    """A model's output for one input.

    The garbage collector does not know it: the prediction cache holds tens of thousands.
    """

    text: bytes
    """UTF-8 text as the model returned it."""
    json: bytes
    """The JSON value that responses embed: the text itself when it is JSON, else as a string."""
