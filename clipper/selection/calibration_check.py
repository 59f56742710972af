"""Which calibration suits an application: each is judged on answers that it was not fitted to."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from clipper.errors import InvalidRequest
from clipper.selection.calibration import (
    Calibration,
    ReliabilityBin,
    expected_calibration_error,
    fit,
    is_right,
    observations,
    reliability,
)
from clipper.selection.records import FeedbackRecord

ENOUGH_ANSWERS = 100


class LabelledAnswers(msgspec.Struct, frozen=True):
    """Raw confidences of answers and their losses."""

    confidences: tuple[float, ...]
    losses: tuple[float, ...]

    @staticmethod
    def of(records: Sequence[FeedbackRecord], policy: str) -> LabelledAnswers:
        """Return the answers of a policy in a log that came with a confidence.

        Raises:
            InvalidRequest: they are fewer than `ENOUGH_ANSWERS`.
        """
        found = [
            (record.choice.confidence, record.answer_loss)
            for record in records
            if record.choice.policy == policy
            and record.choice.confidence is not None
            and record.answer_loss is not None
        ]
        if len(found) < ENOUGH_ANSWERS:
            raise InvalidRequest(
                f"The log has {len(found)} labelled answers of the policy '{policy}' with a "
                f"confidence, {ENOUGH_ANSWERS} "
                "are needed. Only policies that combine models, and models that give "
                "probabilities, have a confidence; send feedback on their answers"
            )
        return LabelledAnswers(tuple(one[0] for one in found), tuple(one[1] for one in found))

    def state(self) -> dict[str, float]:
        """Return the selection state that these answers alone would make."""
        state: dict[str, float] = {}
        for confidence, loss in zip(self.confidences, self.losses, strict=True):
            for added in observations(confidence, is_right(loss)):
                state[added.field] = state.get(added.field, added.start) + added.amount
        return state

    def halves(self, seed: int) -> tuple[LabelledAnswers, LabelledAnswers]:
        """Return two halves at random."""
        pairs = list(zip(self.confidences, self.losses, strict=True))
        random.Random(seed).shuffle(pairs)
        middle = len(pairs) // 2
        first, second = (
            LabelledAnswers(tuple(one[0] for one in half), tuple(one[1] for one in half))
            for half in (pairs[:middle], pairs[middle:])
        )
        return first, second


class CalibrationCheck(msgspec.Struct, frozen=True):
    """How well one method calibrates."""

    method: Calibration
    error: float
    """Expected calibration error on answers that the method was not fitted to."""
    reliability: tuple[ReliabilityBin, ...]
    """On the same answers."""


def check_calibrations(answers: LabelledAnswers, seed: int = 0) -> list[CalibrationCheck]:
    """Return all methods, fitted to one half of the answers and judged on the other."""
    fitted_to, judged_on = (half.state() for half in answers.halves(seed))
    found = []
    for method in Calibration:
        calibrator = fit(method, fitted_to)
        error = expected_calibration_error(judged_on, calibrator)
        assert error is not None
        found.append(CalibrationCheck(method, error, tuple(reliability(judged_on, calibrator))))
    return found
