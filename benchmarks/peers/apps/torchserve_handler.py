"""The model behind TorchServe: a handler that gets a whole batch."""

from __future__ import annotations

from typing import Any

from benchmarks.peers.workload import load_from_environment


class Handler:
    """TorchServe calls ``initialize`` once for each worker and ``handle`` for each batch."""

    def __init__(self) -> None:
        """Wait for ``initialize``."""
        self._predict: Any = None

    def initialize(self, context: Any) -> None:
        """Load the model."""
        self._predict = load_from_environment()

    def handle(self, requests: list[dict[str, Any]], context: Any) -> list[float]:
        """Predict a batch; TorchServe has decoded the JSON bodies."""
        return self._predict([request["body"] for request in requests]).tolist()
