"""One model, or the default output: the policy of every released Clipper (spec §5.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from clipper.datatypes import DEFAULT_POLICY, Output, VersionedModelId
from clipper.selection.policy import Combined, Feedback, SelectionPolicy


class DefaultOutputPolicy(SelectionPolicy):
    """Asks the first candidate; answers the default when it has no output. Learns nothing."""

    name = DEFAULT_POLICY

    def init(self, default_output: str) -> bytes:
        """Return the default output as JSON, as the original stored it."""
        return json.dumps({"y_hat": default_output}).encode()

    def select(
        self, state: bytes, candidates: Sequence[VersionedModelId]
    ) -> Sequence[VersionedModelId]:
        """Return the first candidate."""
        return candidates[:1]

    def combine(self, state: bytes, outputs: Mapping[VersionedModelId, Output]) -> Combined:
        """Return the output that arrived first, if any."""
        for output in outputs.values():
            return Combined(output)
        return Combined(None)

    def observe(
        self, state: bytes, feedback: Feedback, outputs: Mapping[VersionedModelId, Output]
    ) -> bytes:
        """Return the state unchanged."""
        return state
