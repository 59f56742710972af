"""Options as users write them: every fault is named."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.errors import InvalidRequest
from clipper.selection.catalog import find_policy, policy_names
from clipper.selection.exp3 import Exp3Options
from clipper.selection.options import decode_options, option_schemas

NAN = float("nan")


@pytest.mark.parametrize(
    ("policy", "given", "text"),
    [
        ("epsilon-greedy", {"epsilon": 2}, ".epsilon: expected a number of at most 1.0, got 2"),
        (
            "epsilon-greedy",
            {"epsilom": 0.1},
            ".epsilom: unknown option of policy 'epsilon-greedy'; it has: epsilon",
        ),
        ("thompson", {"x": 1}, ".x: unknown option of policy 'thompson'; it has none"),
        ("exp3", {"eta": 0}, ".eta: expected a number above 0.0, got 0"),
        ("exp3", {"eta": "fast"}, '.eta: expected a number, got "fast"'),
        ("exp3", {"eta": True}, ".eta: expected a number, got true"),
        ("exp3", {"eta": None}, ".eta: expected a number, got null"),
        ("exp3", {"eta": NAN}, ".eta: expected a finite number, got nan"),
        ("exp4", {"variant": "d"}, ".variant: expected one of 'a', 'b', 'c', got \"d\""),
        ("exp4", {"variant": 1}, ".variant: expected a string, got 1"),
        ("static", {"model": 3}, ".model: expected a string or null, got 3"),
        (
            "static",
            {"model": ""},
            '.model: expected a string with a length of at least 1, got ""',
        ),
        ("ab", {"weights": [1]}, ".weights: expected an object, got [1]"),
        (
            "ab",
            {"weights": {"good": 1, "my model.v2": -1}},
            ".weights.my model.v2: expected a number of at least 0.0, got -1",
        ),
        ("ab", {"weights": {"m": NAN}}, ".weights.m: expected a finite number, got nan"),
        (
            "ensemble",
            {"weights": {"m": 1}},
            ".weights: 'majority' counts all models alike and takes no weights",
        ),
        ("cascade", {"order": "m"}, '.order: expected a list, got "m"'),
        ("cascade", {"order": ["m", "m"]}, ".order: names a model twice"),
        (
            "cascade",
            {"thresholds": [1, -2]},
            ".thresholds[1]: expected a number of at least 0.0, got -2",
        ),
        (
            "cascade",
            {"threshold": 3},
            ".threshold: at most 1.0 with the signal 'max-probability'",
        ),
        (
            "cascade",
            {"signal": "gate"},
            ".gates: the signal 'gate' needs the coefficients of each model",
        ),
        ("cascade", {"gates": {"ok": {}, "m": {"slope": 1}}}, ".gates.m.slope: unknown option"),
        (
            "cascade",
            {"gates": {"m": {"margin": "wide"}}},
            '.gates.m.margin: expected a number, got "wide"',
        ),
    ],
)
def test_faults_are_named(policy: str, given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_options(find_policy(policy), given)
    assert caught.value.msg == f"policy_options{text}"


def test_what_is_not_given_has_its_default() -> None:
    assert decode_options(find_policy("exp3"), {"eta": 1}) == Exp3Options(eta=1.0)


def test_every_option_has_a_default_and_says_what_it_means() -> None:
    for name in policy_names():
        for option, schema in option_schemas(find_policy(name)).items():
            assert "default" in schema, f"{name}.{option}"
            assert schema["description"].endswith("."), f"{name}.{option}"
