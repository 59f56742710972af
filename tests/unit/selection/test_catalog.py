"""Policies by name, those of other packages among them, and names that nobody knows."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from clipper.datatypes import DEFAULT_POLICY
from clipper.errors import InvalidRequest
from clipper.selection.catalog import (
    UnknownPolicy,
    describe_policies,
    find_policy,
    make_policy,
    policy_names,
)
from clipper.selection.policy import Choice, SelectionPolicy
from tests.unit.selection.simulation import NOBODY_SPECIAL, make_arms

ARMS = make_arms(2)

_LAST = """
from clipper.selection.single import SingleModelPolicy, ask_only


class Last(SingleModelPolicy):
    \"\"\"Asks the model that was linked last.\"\"\"

    name = "last"

    def __init__(self, options):
        if {fails}:
            raise RuntimeError("no licence")

    def choose(self, state, arms, who, rng):
        return ask_only(arms, arms[-1])
"""


def _install(folder: Path, modules: dict[str, str], entries: dict[str, str]) -> None:
    """Lay out an installed package the way pip does."""
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    info = folder / "foreign_policies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign-policies\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[clipper.policies]", *lines]) + "\n")


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    modules = {
        "last_policy": _LAST.format(fails=False),
        "unlicensed_policy": _LAST.format(fails=True).replace('"last"', '"unlicensed"'),
        "broken_policy": "import a_module_that_is_not_there",
    }
    entries = {
        "last": "last_policy:Last",
        "unlicensed": "unlicensed_policy:Last",
        "broken": "broken_policy:Policy",
        "other": "last_policy:Last",
        "function": "os.path:join",
        "exp3": "last_policy:Last",
    }
    _install(tmp_path, modules, entries)
    monkeypatch.syspath_prepend(tmp_path)
    for module in modules:
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def test_the_default_policy_comes_first() -> None:
    assert policy_names()[0] == DEFAULT_POLICY
    assert type(make_policy(DEFAULT_POLICY, {})).name == DEFAULT_POLICY


def _refusal(policy: SelectionPolicy) -> str:
    texts = set()
    for call in (
        lambda: policy.choose({}, ARMS, NOBODY_SPECIAL, random.Random(0)),
        lambda: policy.combine({}, Choice(ARMS), {}, random.Random(0)),
        lambda: policy.observe({}, Choice(ARMS), {}, None),
    ):
        with pytest.raises(InvalidRequest) as caught:
            call()
        texts.add(caught.value.msg)
    (text,) = texts
    return text


def test_a_name_that_nobody_knows_refuses_whatever_is_asked() -> None:
    policy = make_policy("Nonsense", {})

    assert isinstance(policy, UnknownPolicy)
    assert policy.name == "Nonsense"
    assert _refusal(policy) == "Nonsense is an invalid  selection_policy."
    with pytest.raises(InvalidRequest, match="policy 'Nonsense' is not known; use one of: Default"):
        find_policy("Nonsense")


def test_stored_options_of_another_version_refuse_with_the_option() -> None:
    policy = make_policy("exp3", {"temperature": 1.0})

    assert _refusal(policy).startswith("policy_options.temperature: unknown option")


def test_a_policy_of_another_package_is_found_by_its_entry_point(foreign: Path) -> None:
    assert "last" in policy_names()
    policy = make_policy("last", {})

    assert policy.choose({}, ARMS, NOBODY_SPECIAL, random.Random(0)).ask == (ARMS[1],)


def test_a_name_of_ours_stays_ours(foreign: Path) -> None:
    assert find_policy("exp3").__module__ == "clipper.selection.exp3"


def test_listing_and_describing_imports_nothing(foreign: Path) -> None:
    named = {description.name: description for description in describe_policies()}

    assert "broken" in policy_names()
    assert "foreign-policies" in named["last"].text
    assert not {"last_policy", "broken_policy"} & set(sys.modules)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("broken", "cannot be loaded: ModuleNotFoundError"),
        ("other", "calls itself 'last'"),
        ("function", "is not a class derived from SelectionPolicy"),
        ("unlicensed", "cannot be made: RuntimeError"),
    ],
)
def test_a_broken_entry_point_hurts_only_who_uses_it(foreign: Path, name: str, text: str) -> None:
    refusal = _refusal(make_policy(name, {}))

    assert refusal.startswith(f"policy '{name}'")
    assert text in refusal
    make_policy("last", {}).choose({}, ARMS, NOBODY_SPECIAL, random.Random(0))


def test_descriptions_are_what_the_policies_say_of_themselves() -> None:
    named = {description.name: description for description in describe_policies()}

    greedy = named["epsilon-greedy"]
    assert greedy.text.startswith("Asks the model with the lowest mean loss")
    assert greedy.options["epsilon"]["default"] == 0.1
    assert greedy.options["epsilon"]["maximum"] == 1.0
    assert (greedy.learns, greedy.combines) == (True, False)
    assert named["cascade"].combines
    assert all(description.text.endswith(".") for description in named.values())
