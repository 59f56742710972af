"""One batch on its way through the container, and the computation of its outcome.

`compute` runs in the main thread, where the model lives; it never raises, whatever the user's code
does (design decision 9).
"""

from __future__ import annotations

import dataclasses
import logging
import traceback
from collections.abc import Callable, Sequence

from clipper.container.model import Model, collect_outputs, describe_error, encode_outputs
from clipper.datatypes import InputType
from clipper.errors import ModelError
from clipper.rpc.codec import InputBatch, split_inputs

_log = logging.getLogger(__name__)

_REPEAT_S = 10.0
_REMEMBERED_FAULTS = 100

Clock = Callable[[], float]


@dataclasses.dataclass(slots=True)
class Work:
    """A decoded batch that waits for the model. ``cancelled``: nobody waits for it."""

    stream: int
    batch_id: int
    input_type: InputType
    data: bytes
    sizes: Sequence[int]
    budgets_s: Sequence[float]
    inputs: InputBatch
    arrived_at: float
    parse_s: float
    cancelled: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """Output texts in UTF-8, in order; a `str` in the place of an output is its error.

    ``queue_s`` is how long the decoded batch waited while the model was busy with others.
    """

    outputs: list[bytes | str]
    queue_s: float
    compute_s: float


class FaultLog:
    """Logs the traceback of failed batches, the same fault at most once in ten seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._logged_at: dict[tuple[str, str, int], float] = {}

    def failed(self, error: BaseException, size: int) -> None:
        """Log that the model raised ``error`` on a batch of ``size`` inputs."""
        now = self._clock()
        fault = _origin(error)
        if now - self._logged_at.get(fault, -_REPEAT_S) < _REPEAT_S:
            return
        if len(self._logged_at) >= _REMEMBERED_FAULTS:
            self._logged_at.clear()
        self._logged_at[fault] = now
        # Of a result of the wrong shape the traceback would show only this container's own lines.
        if isinstance(error, ModelError):
            _log.error("The model failed on a batch of %d inputs: %s", size, error)
        else:
            _log.error("The model failed on a batch of %d inputs", size, exc_info=error)


def compute(model: Model, work: Work, clock: Clock, faults: FaultLog, free_at: float) -> Outcome:
    """Run the model on a batch; when it raises, run it on each input alone while budgets last.

    ``free_at`` is when the model was done with the batch before. Only what the batch waited until
    then counts as its wait: decoding it and waking the model's thread are work that it causes.
    """
    started = clock()
    try:
        outputs = _predict(model, work.inputs)
    except ModelError as error:
        faults.failed(error, len(work.sizes))
        outputs = [describe_error(error)] * len(work.sizes)
    except BaseException as error:  # SystemExit too: user code must not end the container
        faults.failed(error, len(work.sizes))
        outputs = _predict_singly(model, work, describe_error(error), clock)
    waited_s = max(0.0, free_at - work.arrived_at - work.parse_s)
    return Outcome(outputs, queue_s=waited_s, compute_s=clock() - started)


def _predict(model: Model, inputs: InputBatch) -> list[bytes | str]:
    expected = len(inputs)
    return encode_outputs(collect_outputs(model.predict_batch(inputs), expected))


def _predict_singly(model: Model, work: Work, batch_error: str, clock: Clock) -> list[bytes | str]:
    if len(work.sizes) == 1:
        return [batch_error]
    outputs: list[bytes | str] = []
    start = 0
    for size, budget_s in zip(work.sizes, work.budgets_s, strict=True):
        end = start + size
        if clock() - work.arrived_at < budget_s:
            outputs.append(_predict_one(model, work.input_type, work.data[start:end]))
        else:
            outputs.append(batch_error)
        start = end
    return outputs


def _predict_one(model: Model, input_type: InputType, data: bytes) -> bytes | str:
    try:
        # Decoded anew: the failed call may have written into its inputs.
        return _predict(model, split_inputs(input_type, data, [len(data)]))[0]
    except BaseException as error:  # as in compute
        return describe_error(error)


def _origin(error: BaseException) -> tuple[str, str, int]:
    """What makes two faults the same: type and line; messages often quote the input."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1] if frames else None
    place = ("", 0) if last is None else (last.filename, last.lineno or 0)
    return (type(error).__name__, *place)
