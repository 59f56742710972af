"""Unit tests touch no network: one that opens an internet socket fails at that call."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

_INTERNET = (socket.AF_INET, socket.AF_INET6)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that binds or connects; asyncio's own socket pair is a Unix one and passes."""
    for name in ("bind", "connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(original: Callable[..., Any]) -> Callable[..., Any]:
    def guard(self: socket.socket, *arguments: Any) -> Any:
        if self.family in _INTERNET:
            pytest.fail(
                f"A unit test called {original.__name__}{arguments}: hand the code a fake, "
                "or move the test to tests/integration.",
                pytrace=True,
            )
        return original(self, *arguments)

    return guard
