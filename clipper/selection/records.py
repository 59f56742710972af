"""What is kept of a query so that feedback can find it, and of feedback for offline evaluation.

A `ChoiceRecord` is written under its ``query_id`` off the reply path and expires. Feedback joins
it with a label; the result goes to the application's bounded log, which `clipper replay` reads.
"""

from __future__ import annotations

import msgspec

from clipper.selection.policy import Arm, Choice


class ChoiceRecord(msgspec.Struct, frozen=True, array_like=True):
    """What a policy chose for one query, and what came of it."""

    query_id: int
    uid: str
    time_s: float
    """Unix time of the answer."""
    input: bytes
    """Packed input; empty when it was too large to be kept."""
    arms: tuple[Arm, ...]
    """All that could have been chosen."""
    propensities: tuple[float, ...]
    """Probability of asking each of `arms`."""
    asked: tuple[Arm, ...]
    outputs: dict[str, bytes]
    """Arm key → output text, of those that answered, late ones and shadows too."""
    late: tuple[str, ...]
    """Keys of arms that were asked and had not answered when the reply left."""
    answer: bytes | None
    """Text of the combined output, returned or not sure enough; None when nothing arrived."""
    confidence: float | None
    """Raw confidence of the combination."""
    silent: tuple[Arm, ...] = ()
    """Asked as shadows."""
    generation: int = 0
    """Of the application's registration."""
    policy: str = ""
    """Name of the policy that chose; the application may have another one since."""

    @property
    def choice(self) -> Choice:
        """The choice itself."""
        return Choice(self.asked, self.silent, self.arms, self.propensities)


class FeedbackRecord(msgspec.Struct, frozen=True, array_like=True):
    """One labelled query: what off-policy evaluation, calibration and tuning learn from."""

    choice: ChoiceRecord
    label: str
    """Canonical spelling."""
    time_s: float
    """Unix time of the feedback."""
    losses: dict[str, float]
    """Arm key → loss in [0, 1], of the arms whose outputs for the input are known."""
    answer_loss: float | None
    """Of the combined answer; None when nothing arrived in time."""


_encoder = msgspec.msgpack.Encoder()
_choices = msgspec.msgpack.Decoder(ChoiceRecord)
_feedback = msgspec.msgpack.Decoder(FeedbackRecord)


def encode_record(record: ChoiceRecord | FeedbackRecord) -> bytes:
    """Return a record as MessagePack."""
    return _encoder.encode(record)


def decode_choice(raw: bytes) -> ChoiceRecord:
    """Return the record.

    Raises:
        msgspec.MsgspecError: it is none, or of another version of Clipper.
    """
    return _choices.decode(raw)


def decode_feedback(raw: bytes) -> FeedbackRecord:
    """Return the record.

    Raises:
        msgspec.MsgspecError: it is none, or of another version of Clipper.
    """
    return _feedback.decode(raw)
