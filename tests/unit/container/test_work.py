from __future__ import annotations

import dataclasses
import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest

from clipper.container.model import Model
from clipper.container.replies import build_reply, error_reply, fit
from clipper.container.work import FaultLog, Outcome, Work, compute
from clipper.datatypes import InputType
from clipper.rpc.codec import InputBatch, join_inputs, split_inputs, split_outputs


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FunctionModel(Model):
    def __init__(self, function: Callable[[InputBatch], Any]) -> None:
        self.calls: list[int] = []
        self._function = function

    def predict_batch(self, inputs: InputBatch) -> Any:
        self.calls.append(len(inputs))
        return self._function(inputs)


def work(inputs: list[bytes], budgets_s: list[float], input_type: InputType) -> Work:
    data, sizes = join_inputs(inputs)
    return Work(
        stream=1,
        batch_id=7,
        input_type=input_type,
        data=data,
        sizes=sizes,
        budgets_s=budgets_s,
        inputs=split_inputs(input_type, data, sizes),
        arrived_at=99.0,
        parse_s=0.0,
    )


def texts(*inputs: bytes, budget_s: float = 10.0) -> Work:
    return work(list(inputs), [budget_s] * len(inputs), InputType.STRINGS)


def run(model: Model, batch: Work, clock: Clock | None = None) -> Outcome:
    clock = clock or Clock()
    return compute(model, batch, clock, FaultLog(clock), free_at=0.0)


def fail_on(bad: str, error: Callable[[], BaseException]) -> Callable[[InputBatch], list[str]]:
    def predict(inputs: InputBatch) -> list[str]:
        if bad in inputs:
            raise error()
        return [text.upper() for text in inputs]

    return predict


def test_times_are_apart() -> None:
    clock = Clock()

    def predict(inputs: InputBatch) -> list[str]:
        clock.now += 3.0
        return ["x"]

    batch = dataclasses.replace(texts(b"a"), parse_s=0.25)
    outcome = compute(FunctionModel(predict), batch, clock, FaultLog(clock), free_at=99.75)
    assert (outcome.queue_s, outcome.compute_s) == (0.5, 3.0)


def test_decoding_a_batch_and_waking_an_idle_model_is_no_wait() -> None:
    clock = Clock()
    batch = dataclasses.replace(texts(b"a"), parse_s=0.25)

    outcome = compute(FunctionModel(list), batch, clock, FaultLog(clock), free_at=99.1)

    assert outcome.queue_s == 0.0


@pytest.mark.parametrize(
    "error", [lambda: ValueError("bad"), lambda: SystemExit(3), KeyboardInterrupt]
)
def test_a_poisonous_input_costs_only_its_own_query(error: Callable[[], BaseException]) -> None:
    model = FunctionModel(fail_on("p", error))
    outputs = run(model, texts(b"a", b"p", b"b")).outputs
    assert [outputs[0], outputs[2]] == [b"A", b"B"]
    assert isinstance(outputs[1], str)
    assert outputs[1].startswith(type(error()).__name__)
    assert model.calls == [3, 1, 1, 1]


def test_a_single_input_is_not_tried_twice() -> None:
    model = FunctionModel(fail_on("p", lambda: ValueError("bad")))
    assert run(model, texts(b"p")).outputs == ["ValueError: bad"]
    assert model.calls == [1]


def test_inputs_without_budget_get_the_error_of_the_batch() -> None:
    clock = Clock()

    def predict(inputs: InputBatch) -> list[str]:
        clock.now += 1.0
        if len(inputs) > 1:
            raise ValueError("whole batch")
        return ["fine"]

    batch = work([b"a", b"b", b"c"], [1.5, 99.0, 2.5], InputType.STRINGS)
    outputs = run(FunctionModel(predict), batch, clock).outputs
    assert outputs == ["ValueError: whole batch", b"fine", "ValueError: whole batch"]


def test_retries_see_the_inputs_as_they_came() -> None:
    def predict(inputs: InputBatch) -> list[float]:
        first = inputs[0][0]
        for value in inputs:
            value[:] = 0
        if len(inputs) > 1:
            raise ValueError
        return [first]

    rows = [struct.pack("<2d", 5, 6), struct.pack("<2d", 7, 8)]
    outcome = run(FunctionModel(predict), work(rows, [9.0, 9.0], InputType.DOUBLES))
    assert outcome.outputs == [b"5.0", b"7.0"]


def test_a_wrong_count_is_the_error_of_every_query_and_not_retried() -> None:
    model = FunctionModel(lambda inputs: ["one"])
    error = "Expected model to return 2 outputs, found 1 outputs"
    assert run(model, texts(b"a", b"b")).outputs == [error, error]
    assert model.calls == [2]


def test_the_same_fault_is_logged_once_in_ten_seconds(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    faults = FaultLog(clock)
    model = FunctionModel(fail_on("p", lambda: ValueError("bad")))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            compute(model, texts(b"p", b"a"), clock, faults, free_at=0.0)
        assert len(caplog.records) == 1
        assert "ValueError: bad" in caplog.text
        clock.now += 11
        compute(model, texts(b"p"), clock, faults, free_at=0.0)
        assert len(caplog.records) == 2


def outcome(*outputs: bytes | str) -> Outcome:
    return Outcome(list(outputs), queue_s=0.25, compute_s=0.5)


def test_a_reply_has_outputs_and_errors_in_their_places() -> None:
    reply = build_reply(7, outcome(b"a", "broken", b"", b"bc"), 1_000_000).batch_reply
    assert split_outputs(reply.data, reply.sizes) == [b"a", b"", b"", b"bc"]
    assert [(e.index, e.message) for e in reply.errors] == [(1, "broken")]
    assert (reply.batch_id, reply.queue_s, reply.compute_s) == (7, 0.25, 0.5)


def test_only_the_largest_outputs_give_way_to_the_message_limit() -> None:
    reply = build_reply(
        7, outcome(b"small", b"x" * 9000, b"y" * 500, b"z" * 8000), 1000
    ).batch_reply
    assert split_outputs(reply.data, reply.sizes) == [b"small", b"", b"y" * 500, b""]
    assert [e.index for e in reply.errors] == [1, 3]
    assert "9000 bytes is too large" in reply.errors[0].message
    assert reply.ByteSize() <= 1000


def test_the_message_limit_counts_every_byte_of_outputs_that_all_have_text() -> None:
    outputs = [b"x" * 100] * 50
    just = build_reply(7, outcome(*outputs), 50 * 105 + 128).batch_reply
    assert (split_outputs(just.data, just.sizes), len(just.errors)) == (outputs, 0)
    above = build_reply(7, outcome(*outputs), 50 * 105 + 127).batch_reply
    assert above.ByteSize() <= 50 * 105 + 127
    assert len(above.errors) == 1


def test_replies_of_nothing_but_errors_fit_too() -> None:
    reply = build_reply(7, outcome(*["e" * 500] * 100), 8000).batch_reply
    assert reply.ByteSize() <= 8000
    assert len(reply.errors) == 100


def test_small_outputs_are_never_traded_for_longer_errors() -> None:
    outputs: list[bytes | str] = [b"1.0"] * 1000
    assert fit(outputs, 100) == outputs


def test_error_reply_names_every_query() -> None:
    reply = error_reply(7, 2, "no").batch_reply
    assert list(reply.sizes) == [0, 0]
    assert [(e.index, e.message) for e in reply.errors] == [(0, "no"), (1, "no")]
