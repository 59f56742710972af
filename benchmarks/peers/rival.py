"""What the harness has to know of a server in order to measure it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers.workload import ACCELERATOR_BATCH_S, ACCELERATOR_ITEM_S

CONCURRENCIES = (1, 8, 32, 128)
"""Connections of the closed loops."""

SETTINGS_VARIABLE = "PEERS_SETTINGS"
"""Environment variable that carries a rival's settings to its app, in JSON."""


@dataclasses.dataclass(frozen=True, slots=True)
class Launch:
    """One start of a server."""

    port: int
    workload: str
    objective_s: float
    """Seconds within which clients want their answers."""
    workdir: Path
    """An empty directory for whatever files the server needs."""
    python: Path
    """The interpreter of the server's own environment; its tools are beside it."""

    def tool(self, name: str) -> str:
        """Return the path of a command of that environment."""
        return str(self.python.parent / name)


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """An HTTP POST."""

    path: str
    body: str
    """JSON."""


def _nothing_set(launch: Launch) -> dict[str, str]:
    return {}


def _nothing_missing() -> str:
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Rival:
    """One server, in its recommended production setting."""

    name: str
    settings: Callable[[str, float], dict[str, Any]]
    """Workload and objective in seconds to the settings; each objective has a start of its own."""
    command: Callable[[Launch, dict[str, Any]], list[str]]
    """Writes what files it needs to the launch's directory; returns the command that serves."""
    request: Callable[[Sequence[float]], Request]
    """One input in this server's own JSON."""
    answer: Callable[[bytes], float]
    """The body of a reply to the number in it."""
    environment: Callable[[Launch], dict[str, str]] = _nothing_set
    """Variables that the server reads."""
    warm_up_connections: int = 64
    """Of the load before the first measurement."""
    missing: Callable[[], str] = _nothing_missing
    """What the machine lacks for it, and what to install; empty when nothing."""


def batch_cap(workload: str, objective_s: float) -> int:
    """Return the batch size that a careful operator fixes.

    The forest takes any batch in the same time: as many as there are connections at most. For the
    accelerator, three times t(b) fits into the objective: what is left of the batch before, the
    batch itself, and as much again for the server's own work.
    """
    if workload == "forest":
        return max(CONCURRENCIES)
    return int((objective_s / 3 - ACCELERATOR_BATCH_S) / ACCELERATOR_ITEM_S)


def encoded(document: object) -> str:
    """Return compact JSON, as fast clients send it."""
    return json.dumps(document, separators=(",", ":"))


def number_at(*path: str | int) -> Callable[[bytes], float]:
    """Return a function that takes the number at ``path`` out of a JSON document."""

    def answer(body: bytes) -> float:
        value = json.loads(body)
        for step in path:
            value = value[step]
        return float(value)

    return answer
