"""The model versions that may answer a query, as policies and the fleet name them."""

from __future__ import annotations

from collections.abc import Iterable

from clipper.datatypes import VersionedModelId
from clipper.selection.policy import Arm


class ArmTable:
    """Arms in the order they were linked, and which model of the fleet each one is."""

    __slots__ = ("arm_of", "arms", "model_of")

    def __init__(self, models: Iterable[tuple[VersionedModelId, int]]) -> None:
        """``models`` come with their registrations' generations."""
        self.arm_of = {
            model: Arm(f"{model}#{generation}", model.name, model.version)
            for model, generation in models
        }
        self.model_of = {arm: model for model, arm in self.arm_of.items()}
        self.arms = tuple(self.arm_of.values())
