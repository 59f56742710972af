"""Bodies of feedback: what they mean, and that every fault is named by its field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clipper.datatypes import InputType
from clipper.errors import InvalidRequest
from clipper.frontend.feedback_bodies import MAX_UPDATES, FeedbackBody, decode_feedback
from clipper.selection.losses import LossKind

GOOD = {"query_id": 1, "label": 1}


def decode(body: Any, kind: LossKind = LossKind.ZERO_ONE, key: str | None = None) -> FeedbackBody:
    return decode_feedback(json.dumps(body).encode(), InputType.DOUBLES, kind, key)


def keys(body: Any, key: str | None = None) -> list[str | None]:
    return [item.idempotency_key for item in decode(body, key=key).feedback]


def refusal(body: Any, kind: LossKind = LossKind.ZERO_ONE, key: str | None = None) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decode(body, kind, key)
    return caught.value.msg


@pytest.mark.parametrize(
    ("body", "start"),
    [
        ({**GOOD, "foo": 1}, "foo: unknown field; known: idempotency_key, input, label, query_id"),
        ({"updates": [GOOD], "foo": 1}, "foo: unknown field; known: idempotency_key, updates."),
        ({"updates": [GOOD], "label": 1}, "label: unknown field"),
        ({"updates": [GOOD, {**GOOD, "foo": 1}]}, "updates[1].foo: unknown field"),
        ({"updates": [GOOD, {**GOOD, "label": [1]}]}, "updates[1].label: "),
        ({"updates": [GOOD, {"query_id": 1}]}, "updates[1].label: missing"),
        ({"updates": [{"label": 1}]}, "updates[0].input: missing"),
        ({"updates": [{"input": ["x"], "label": 1}]}, "updates[0].input: "),
        ({"updates": [{"input": [1.0], "label": 1, "uid": 1.5}]}, "updates[0].uid: "),
        ({"updates": [{**GOOD, "query_id": "1"}]}, "updates[0].query_id: "),
        ({"updates": [GOOD, 1]}, "updates[1]: expected an object"),
        ({"updates": [GOOD] * (MAX_UPDATES + 1)}, "updates: 10001 labels"),
        ({"updates": {}}, "updates: expected a list"),
        ({**GOOD, "label": "x" * 4097}, "label: 4097 characters; at most 4096"),
        ({**GOOD, "idempotency_key": "k" * 257}, "idempotency_key: "),
        ({"updates": [GOOD], "idempotency_key": "k" * 257}, "idempotency_key: "),
        ({"updates": [{**GOOD, "idempotency_key": 5}]}, "updates[0].idempotency_key: "),
    ],
)
def test_a_fault_is_named_by_its_field(body: Any, start: str) -> None:
    assert refusal(body).startswith(start)


@pytest.mark.parametrize("label", ["cat", True, 10**400])
def test_a_label_that_is_no_number_is_refused_where_numbers_count(label: Any) -> None:
    body = {**GOOD, "label": label}
    assert refusal(body, LossKind.ABSOLUTE).startswith("label: the loss 'absolute'")
    decode(body)


def test_an_integer_beyond_doubles_is_a_label_like_any_other() -> None:
    [large] = decode({**GOOD, "label": 10**400}).feedback
    [spelt] = decode({**GOOD, "label": str(10**400)}).feedback
    assert large.label == spelt.label == str(10**400)


def test_a_key_of_the_whole_request_makes_one_for_each_label() -> None:
    updates = [GOOD, {**GOOD, "idempotency_key": "mine"}, GOOD]
    expected = ["key all#0", "key mine", "key all#2"]
    assert keys({"updates": updates}, "all") == expected
    assert keys({"updates": updates, "idempotency_key": "all"}) == expected
    assert keys({"updates": updates, "idempotency_key": "all"}, "of the header") == expected
    assert keys(GOOD, "all") == ["key all"]
    assert keys({"updates": [GOOD]}, "k" * 256) == [f"key {'k' * 256}#0"]
    assert refusal({"updates": [GOOD]}, key="k" * 257).startswith("idempotency_key: ")


def test_only_the_original_form_is_answered_like_the_original() -> None:
    old = {"uid": 0, "input": [1.0], "label": 1}
    assert decode(old).original
    assert decode({**old, "label": "cat"}).original
    assert not decode(old, key="k").original
    assert not decode({"updates": [old]}).original
    assert not decode(GOOD).original
