"""HTTP to the two frontends, as the client needs it: bounded in time, one kind of error.

An unreachable frontend raises the `requests` exception unchanged, as it always did (spec §10.1).
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Protocol

import requests

from clipper.errors import ClipperException

READ_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Reply:
    """What a frontend answered."""

    status: int
    text: str
    default_reason: str | None = None
    """Value of `X-Clipper-Default`, present on predictions that are defaults."""

    def json(self) -> Any:
        """The body as JSON; ClipperException when it is not, with the body's beginning."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise ClipperException(
                f"Expected JSON but received: {self.text[:200]!r}. "
                "Check that the address belongs to a Clipper frontend"
            ) from error


class Http(Protocol):
    """The seam that tests replace."""

    def post(self, url: str, body: object, timeout_s: float = READ_TIMEOUT_S) -> Reply:
        """POST the body as JSON."""

    def get(self, url: str, accept: str = "*/*", timeout_s: float = READ_TIMEOUT_S) -> Reply:
        """GET the address."""


class AdminHttp:
    """`Http` over the network. No connection is kept, so an instance may be shared freely."""

    def post(self, url: str, body: object, timeout_s: float = READ_TIMEOUT_S) -> Reply:
        """POST the body as JSON."""
        timeout = (CONNECT_TIMEOUT_S, timeout_s)
        return _reply(requests.post(url, json=body, timeout=timeout))

    def get(self, url: str, accept: str = "*/*", timeout_s: float = READ_TIMEOUT_S) -> Reply:
        """GET the address."""
        timeout = (CONNECT_TIMEOUT_S, timeout_s)
        return _reply(requests.get(url, headers={"Accept": accept}, timeout=timeout))


def _reply(response: requests.Response) -> Reply:
    # requests guesses latin-1 or runs charset detection when no charset is declared.
    text = response.content.decode("utf-8", errors="replace")
    return Reply(response.status_code, text, response.headers.get("X-Clipper-Default"))
