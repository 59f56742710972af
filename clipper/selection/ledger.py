"""Bookkeeping for every policy, in the same additive state: what `clipper policy show` reports.

Every labelled query adds to it. The mean loss of an arm is estimated by inverse propensity with
self-normalisation (Swaminathan and Joachims 2015), or from full information where the loss of every
arm is known; missing losses thereby count for nothing, neither good nor bad.

Numbers: ``led/n`` queries, ``led/answers`` that were no default, ``led/loss`` of the answers,
``led/cost``, ``led/agree`` and ``led/agree_n``; for each arm ``led_asked/<key>``,
``led_late/<key>``, ``led_known/<key>`` (losses), ``led_weight/<key>`` and ``led_loss/<key>`` (sums
of weights and of weighted losses). What feedback tells of confidences is kept beside them.

Each policy that an application ever had has a *book* of its own for these numbers: what one says of
its confidence means nothing for another, and each is judged by what it did itself.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from clipper.selection.calibration import (
    Calibration,
    expected_calibration_error,
    fit,
    is_right,
    observations,
)
from clipper.selection.policy import Addition, Arm, Choice, State

ENOUGH_LOSSES = 30
"""With fewer known losses an arm is no candidate for the best one in hindsight."""

DEFAULT_COST = 1.0
"""Cost of asking a model that `costs` does not name: what is counted then is models asked."""


_BOOK = "book:"


class ArmSummary(msgspec.Struct, frozen=True):
    """How one arm did on labelled queries."""

    model: str
    version: str
    key: str
    asked: int
    """Labelled queries on which it was asked."""
    asked_share: float | None
    """Of all labelled queries."""
    late: int
    """Of those asked, not there when the reply left."""
    known_losses: int
    mean_loss: float | None
    """Estimate for all queries, whichever arm they went to."""
    cost: float
    """Of asking it once."""


class PolicySummary(msgspec.Struct, frozen=True):
    """How a policy did on labelled queries. None: nothing is known yet."""

    labelled: int
    answered: int
    """Labelled queries whose reply was no default."""
    mean_loss: float | None
    """Of the answers."""
    best_arm: str | None
    """``name:version`` of the best single model in hindsight."""
    regret: float | None
    """Loss of all answers together, less what the best single model would have lost on them."""
    agreement: float | None
    """Mean share of the models heard that agree with the answer, where several were."""
    late_share: float | None
    """Of the models asked, those that were late."""
    calibration_error: float | None
    """Expected calibration error of the confidence as it is given, on the learned answers."""
    raw_calibration_error: float | None
    """The same without calibration."""
    cost_per_query: float | None
    arms: tuple[ArmSummary, ...] = ()


def ledger(
    choice: Choice,
    losses: Mapping[Arm, float],
    answer_loss: float | None,
    confidence: float | None,
    answered: Collection[Arm],
    late: Collection[Arm],
    costs: Mapping[str, float],
    *,
    supporters: Collection[Arm] | None = None,
) -> Sequence[Addition]:
    """Return what one labelled query adds to the book of its policy, calibration included.

    Args:
        choice: as it was made.
        losses: of the arms whose outputs for the input are known.
        answer_loss: of the combined answer; None when the reply was the default.
        confidence: raw, of the combined answer; None when the policy knows none.
        answered: arms whose output was there in time.
        late: arms that were asked and whose output was not.
        costs: model name → cost of asking it once.
        supporters: arms that agree with the answer; None: agreement is not counted.
    """
    asked = _distinct(choice.ask, choice.silent, answered, late)
    added = [
        Addition("led/n", 1.0),
        Addition("led/cost", sum(costs.get(arm.name, DEFAULT_COST) for arm in asked)),
        *(Addition(f"led_asked/{arm.key}", 1.0) for arm in asked),
        *(Addition(f"led_late/{arm.key}", 1.0) for arm in late),
        *_of_arms(choice, asked, losses),
    ]
    if answer_loss is not None:
        added += [Addition("led/answers", 1.0), Addition("led/loss", answer_loss)]
        if confidence is not None:
            added += observations(confidence, is_right(answer_loss))
    heard = [arm for arm in answered if arm not in choice.silent]
    if supporters is not None and answer_loss is not None and len(heard) > 1:
        agreeing = sum(arm in supporters for arm in heard) / len(heard)
        added += [Addition("led/agree", agreeing), Addition("led/agree_n", 1.0)]
    return added


def enter(policy: str, additions: Iterable[Addition]) -> list[Addition]:
    """Return additions to a policy's book as additions to the state that holds all books."""
    return [
        Addition(f"{_BOOK}{policy}:{added.field}", added.amount, added.start) for added in additions
    ]


def open_book(state: State, policy: str) -> dict[str, float]:
    """Return a policy's book: what `summarise` and calibration read."""
    prefix = f"{_BOOK}{policy}:"
    return {
        field.removeprefix(prefix): value
        for field, value in state.items()
        if field.startswith(prefix)
    }


def _distinct(*groups: Collection[Arm]) -> list[Arm]:
    return list(dict.fromkeys(arm for group in groups for arm in group))


def _of_arms(choice: Choice, asked: Collection[Arm], losses: Mapping[Arm, float]) -> list[Addition]:
    everything = all(arm in losses for arm in choice.arms)
    added = []
    for arm in choice.arms:
        propensity = 1.0 if arm in choice.silent else choice.propensity(arm)
        # A loss that is known by chance, from the cache say, tells what was easy: not counted.
        if arm not in losses or not (everything or (arm in asked and propensity > 0.0)):
            continue
        weight = 1.0 if everything else 1.0 / propensity
        added += [
            Addition(f"led_known/{arm.key}", 1.0),
            Addition(f"led_weight/{arm.key}", weight),
            Addition(f"led_loss/{arm.key}", weight * losses[arm]),
        ]
    return added


def summarise(
    book: State,
    arms: Sequence[Arm],
    costs: Mapping[str, float],
    calibration: Calibration = Calibration.NONE,
) -> PolicySummary:
    """Return what a policy's book tells about it and about ``arms``, in their order."""
    labelled, answers = book.get("led/n", 0.0), book.get("led/answers", 0.0)
    rows = tuple(_arm_summary(book, arm, costs, labelled) for arm in arms)
    known = [(row, row.mean_loss) for row in rows if row.mean_loss is not None]
    best = min(
        (pair for pair in known if pair[0].known_losses >= ENOUGH_LOSSES),
        key=lambda pair: pair[1],
        default=None,
    )
    lost = book.get("led/loss", 0.0)
    return PolicySummary(
        labelled=round(labelled),
        answered=round(answers),
        mean_loss=_ratio(lost, answers),
        best_arm=None if best is None else f"{best[0].model}:{best[0].version}",
        regret=None if best is None or not answers else round(lost - answers * best[1], 9),
        agreement=_ratio(book.get("led/agree", 0.0), book.get("led/agree_n", 0.0)),
        late_share=_ratio(_total(book, "led_late/"), _total(book, "led_asked/")),
        calibration_error=expected_calibration_error(book, fit(calibration, book)),
        raw_calibration_error=expected_calibration_error(book, lambda raw: raw),
        cost_per_query=_ratio(book.get("led/cost", 0.0), labelled),
        arms=rows,
    )


def _arm_summary(state: State, arm: Arm, costs: Mapping[str, float], labelled: float) -> ArmSummary:
    asked = state.get(f"led_asked/{arm.key}", 0.0)
    weight = state.get(f"led_weight/{arm.key}", 0.0)
    return ArmSummary(
        model=arm.name,
        version=arm.version,
        key=arm.key,
        asked=round(asked),
        asked_share=_ratio(asked, labelled),
        late=round(state.get(f"led_late/{arm.key}", 0.0)),
        known_losses=round(state.get(f"led_known/{arm.key}", 0.0)),
        mean_loss=_ratio(state.get(f"led_loss/{arm.key}", 0.0), weight),
        cost=costs.get(arm.name, DEFAULT_COST),
    )


def _total(state: State, prefix: str) -> float:
    return sum(value for field, value in state.items() if field.startswith(prefix))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0.0 else None
