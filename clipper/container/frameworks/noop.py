"""The model that does nothing, for measuring everything else (spec §9.3)."""

from __future__ import annotations

from clipper.container.model import Model
from clipper.rpc.codec import InputBatch


class NoopModel(Model):
    """Answers ``1.0`` to every input of any type."""

    def predict_batch(self, inputs: InputBatch) -> list[str]:
        """Return ``1.0`` for each input."""
        return ["1.0"] * len(inputs)
