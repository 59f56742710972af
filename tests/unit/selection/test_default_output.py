"""The default-output policy and the table of policies (spec §5.2)."""

from __future__ import annotations

import json

import pytest

from clipper.datatypes import DEFAULT_POLICY, Output, VersionedModelId
from clipper.errors import InvalidRequest
from clipper.selection.catalog import make_policy
from clipper.selection.policy import Feedback

ONE, TWO = VersionedModelId("m", "1"), VersionedModelId("n", "1")
policy = make_policy(DEFAULT_POLICY)


@pytest.mark.parametrize(("candidates", "chosen"), [([], []), ([ONE], [ONE]), ([TWO, ONE], [TWO])])
def test_the_first_candidate_is_asked(
    candidates: list[VersionedModelId], chosen: list[VersionedModelId]
) -> None:
    assert list(policy.select(policy.init("x"), candidates)) == chosen


def test_the_first_output_is_the_answer_and_none_means_default() -> None:
    one, two = Output(b"1", b"1"), Output(b"2", b"2")

    assert policy.combine(b"", {}).output is None
    assert policy.combine(b"", {ONE: one}).output is one
    assert policy.combine(b"", {TWO: two, ONE: one}).output is two


@pytest.mark.parametrize("default", ["-1.0", 'a "quoted" text', "", "é\x00"])
def test_the_state_holds_the_default_and_feedback_leaves_it(default: str) -> None:
    state = policy.init(default)

    assert json.loads(state) == {"y_hat": default}
    assert policy.observe(state, Feedback(1.0), {}) == state


def test_a_name_that_nobody_knows_refuses_whatever_is_asked() -> None:
    unknown = make_policy("Nonsense")
    state = unknown.init("x")

    for call in (
        lambda: unknown.select(state, [ONE]),
        lambda: unknown.combine(state, {}),
        lambda: unknown.observe(state, Feedback(1.0), {}),
    ):
        with pytest.raises(InvalidRequest) as caught:
            call()
        assert caught.value.msg == "Nonsense is an invalid  selection_policy."
