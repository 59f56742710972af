"""Cheap models first, dear ones when those are unsure (IDK cascades, UAI'18; algorithms §3)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from clipper.selection.policy import Arm, Asker, Choice, Combined, SelectionPolicy, State
from clipper.selection.single import ask_only
from clipper.selection.trust import Gate, Signal, is_sure, read_features
from clipper.selection.votes import Vote

Threshold = Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class CascadeOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Options of `CascadePolicy`."""

    order: Annotated[
        list[Name],
        msgspec.Meta(
            description="Model names, the cheapest first; models not named are not asked. "
            "Empty: the order in which they were linked."
        ),
    ] = msgspec.field(default_factory=list)
    signal: Annotated[
        Signal,
        msgspec.Meta(
            description="What tells that an answer is good enough: the probability of its label, "
            "the entropy of its probabilities, or a gate that was fitted to labelled data."
        ),
    ] = "max-probability"
    threshold: Annotated[
        Threshold,
        msgspec.Meta(
            description="Least probability (max-probability, gate) or largest entropy in nats "
            "with which an answer is good enough."
        ),
    ] = 0.8
    thresholds: Annotated[
        list[Threshold],
        msgspec.Meta(
            description="One threshold for each model but the last; `threshold` for the rest."
        ),
    ] = msgspec.field(default_factory=list)
    gates: Annotated[
        dict[str, Gate],
        msgspec.Meta(
            description="For the signal gate: model name → coefficients (intercept, "
            "max_probability, entropy, margin). A model without one is never sure."
        ),
    ] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.order)) < len(self.order):
            raise ValueError("order: names a model twice")
        for field, values in (("threshold", [self.threshold]), ("thresholds", self.thresholds)):
            if self.signal != "entropy" and max(values, default=0.0) > 1.0:
                raise ValueError(f"{field}: at most 1.0 with the signal '{self.signal}'")
        if self.signal == "gate" and not self.gates:
            raise ValueError("gates: the signal 'gate' needs the coefficients of each model")


class CascadePolicy(SelectionPolicy):
    """Asks the cheapest model, and the next one whenever an answer is not sure enough."""

    name = "cascade"
    Options = CascadeOptions
    learns = False
    combines = True

    def __init__(self, options: CascadeOptions) -> None:
        self._options = options

    def choose(self, state: State, arms: Sequence[Arm], who: Asker, rng: random.Random) -> Choice:
        """Ask the cheapest model that serves."""
        stages = self._stages(arms)
        return ask_only(stages, stages[0] if stages else None)

    def advance(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], missing: Sequence[Arm]
    ) -> Sequence[Arm] | None:
        """Ask the next model when all before it are unsure or missing."""
        for stage, arm in enumerate(choice.arms):
            if arm in votes:
                if self._ends(choice, stage, votes[arm]):
                    return None
            elif arm not in missing:
                return () if arm in choice.ask else (arm,)
        return None

    def combine(
        self, state: State, choice: Choice, votes: Mapping[Arm, Vote], rng: random.Random
    ) -> Combined:
        """Answer what the first sure model says; without one, the dearest that was heard."""
        answer: Arm | None = None
        for stage, arm in enumerate(choice.arms):
            if arm in votes:
                answer = arm
                if self._ends(choice, stage, votes[arm]):
                    break
        if answer is None:
            return Combined(None)
        return Combined(votes[answer].output, self._confidence(answer, votes[answer]), (answer,))

    def _stages(self, arms: Sequence[Arm]) -> tuple[Arm, ...]:
        if not self._options.order:
            return tuple(arms)
        named = {arm.name: arm for arm in arms}
        return tuple(named[name] for name in self._options.order if name in named)

    def _ends(self, choice: Choice, stage: int, vote: Vote) -> bool:
        if stage == len(choice.arms) - 1:
            return True
        arm = choice.arms[stage]
        options = self._options
        return is_sure(
            vote, options.signal, self._threshold(arm, stage), options.gates.get(arm.name)
        )

    def _threshold(self, arm: Arm, stage: int) -> float:
        """A threshold belongs to a model's place in `order`, even while others do not serve."""
        options = self._options
        place = options.order.index(arm.name) if options.order else stage
        return options.thresholds[place] if place < len(options.thresholds) else options.threshold

    def _confidence(self, arm: Arm, vote: Vote) -> float | None:
        gate = self._options.gates.get(arm.name) if self._options.signal == "gate" else None
        features = read_features(vote)
        if gate is None or features is None:
            return vote.confidence
        return gate.probability(features)
