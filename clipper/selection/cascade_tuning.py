"""Picks a cascade's thresholds from labelled queries (IDK cascades, Wang et al. 2018).

Cheapest first, each model answers when its confidence reaches its threshold; otherwise the next one
is asked, and the last one always answers. The thresholds sought are those of least cost at which
the cascade is as accurate as wanted. They are found on one half of the queries and judged on the
other. A lone threshold is lowered until the target is missed for the first time: to pick the
cheapest of all that happen to meet it would pick those that met it by luck (fixed-sequence testing;
Angelopoulos et al. 2021). Accuracy is 1 less the mean loss.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from clipper.errors import InvalidRequest
from clipper.outputs import Output
from clipper.selection.gate_fitting import fit_gate
from clipper.selection.ledger import DEFAULT_COST
from clipper.selection.policy import Arm
from clipper.selection.records import FeedbackRecord
from clipper.selection.trust import Features, Gate, Signal, read_features
from clipper.selection.votes import read_vote

SIGNALS: tuple[Signal, ...] = get_args(Signal)

ENOUGH_QUERIES = 100
COMPLETE_SHARE = 0.9
"""Least share of queries with all outputs at which the rest may be left aside."""

_Floats = npt.NDArray[np.float64]
_CURVE_POINTS = 60
_CUTS = 200
_GRID_POINTS = 2000
_ANY_ENTROPY = 100.0
"""More nats than any model has labels for; the policy allows no larger threshold."""


class Example(NamedTuple):
    """One labelled query and what every model of the cascade said to it, in the cascade's order."""

    features: tuple[Features | None, ...]
    """None of a model that says nothing about its confidence."""
    losses: tuple[float, ...]


class Target(msgspec.Struct, frozen=True):
    """How accurate the cascade has to be."""

    accuracy: float
    relative: bool = True
    """Accuracy is a multiple of the dearest model's; otherwise it is one itself."""
    caution: float = 1.0
    """Standard errors by which the target must be exceeded where the thresholds are sought."""


class Result(msgspec.Struct, frozen=True):
    """What a cascade does on a set of labelled queries."""

    accuracy: float
    relative_accuracy: float
    """As a multiple of the dearest model's."""
    cost: float
    """Mean of a query."""
    relative_cost: float
    """As a multiple of the dearest model's alone."""
    asked_share: tuple[float, ...]
    """Share of queries that ask each model."""


class CurvePoint(msgspec.Struct, frozen=True):
    """Cost and accuracy at one threshold, used for all models."""

    threshold: float
    cost: float
    accuracy: float


class CascadeTuning(msgspec.Struct, frozen=True):
    """Thresholds, and what they do."""

    options: dict[str, Any]
    """`policy_options` of the cascade policy."""
    signal: Signal
    sought_on: Result
    """On the queries on which the thresholds were sought."""
    judged_on: Result
    """On the other ones: what to expect."""
    models: dict[str, float]
    """Accuracy of each model alone, on the latter."""
    queries: int
    curve: tuple[CurvePoint, ...]
    """On the latter."""


def read_examples(records: Sequence[FeedbackRecord], order: Sequence[str]) -> list[Example]:
    """Return the queries on which every model of a cascade was heard.

    Raises:
        InvalidRequest: they are too few; or the dear models were heard on some only, which may
            well be the hard ones.
    """
    if len(order) < 2 or len(set(order)) < len(order):
        raise InvalidRequest("order: name two or more different models, the cheapest first")
    found: list[Example] = []
    certain: list[Example] = []
    begun = 0
    for record in records:
        stages = _stages(record, order)
        if stages is None or stages[0].key not in record.losses:
            continue
        begun += 1
        outputs, losses = record.choice.outputs, record.losses
        if not all(arm.key in outputs and arm.key in losses for arm in stages):
            continue
        votes = [read_vote(Output(outputs[arm.key], outputs[arm.key])) for arm in stages]
        example = Example(
            tuple(read_features(vote) for vote in votes),
            tuple(losses[arm.key] for arm in stages),
        )
        found.append(example)
        if all(_is_certain(record, arm) for arm in stages):
            certain.append(example)
    usable = found if len(found) >= COMPLETE_SHARE * begun else certain
    if len(usable) < ENOUGH_QUERIES:
        raise InvalidRequest(
            f"A cascade of {', '.join(order)} needs {ENOUGH_QUERIES} labelled queries on which all "
            f"of them were asked; the log has {len(usable)}. Serve with the policy shadow or an "
            "ensemble for a while, send feedback, and tune again"
        )
    return usable


def _stages(record: FeedbackRecord, order: Sequence[str]) -> list[Arm] | None:
    named = {arm.name: arm for arm in record.choice.arms}
    return [named[name] for name in order] if all(name in named for name in order) else None


def _is_certain(record: FeedbackRecord, arm: Arm) -> bool:
    logged = record.choice
    return arm in logged.silent or logged.choice.propensity(arm) >= 1.0


def tune(
    examples: Sequence[Example],
    order: Sequence[str],
    costs: Mapping[str, float],
    target: Target,
    signals: Sequence[Signal] = SIGNALS,
    seed: int = 0,
) -> CascadeTuning:
    """Return the thresholds of least cost with which the target is met.

    Args:
        examples: see `read_examples`.
        order: model names, the cheapest first.
        costs: model name → cost of asking it once; 1 where it is not named.
        target: least accuracy.
        signals: those to try; the one of least cost is taken.
        seed: of the split into two halves.

    Raises:
        InvalidRequest: no thresholds meet the target, with the accuracy that can be had.
    """
    shuffled = list(examples)
    random.Random(seed).shuffle(shuffled)
    half = len(shuffled) // 2
    prices = np.array([costs.get(name, DEFAULT_COST) for name in order])
    found: list[tuple[_Candidate, tuple[float, ...]]] = []
    reached = 0.0
    for signal in signals:
        scale = _Scale(signal, _fit_gates(shuffled[:half]) if signal == "gate" else ())
        candidate = _Candidate(
            scale,
            _Queries.of(shuffled[:half], scale, prices),
            _Queries.of(shuffled[half:], scale, prices),
        )
        thresholds = _lowest(candidate.sought_on, target)
        if thresholds is not None:
            found.append((candidate, thresholds))
        reached = max(reached, candidate.sought_on.surest())
    if not found:
        raise InvalidRequest(_unreachable(target, order, reached, shuffled[:half]))
    best, thresholds = min(found, key=lambda pair: pair[0].sought_on.result(pair[1]).cost)
    return CascadeTuning(
        options=_options(order, best.scale, thresholds),
        signal=best.scale.signal,
        sought_on=best.sought_on.result(thresholds),
        judged_on=best.judged_on.result(thresholds),
        models=dict(zip(order, best.judged_on.alone(), strict=True)),
        queries=len(shuffled),
        curve=best.judged_on.curve(),
    )


def _options(order: Sequence[str], scale: _Scale, thresholds: Sequence[float]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "order": list(order),
        "signal": scale.signal,
        "thresholds": [scale.threshold(value) for value in thresholds],
    }
    if scale.gates:
        gates = zip(order, scale.gates, strict=False)  # the last model needs none
        options["gates"] = {name: msgspec.to_builtins(gate) for name, gate in gates}
    return options


def _unreachable(
    target: Target, order: Sequence[str], reached: float, examples: Sequence[Example]
) -> str:
    last = 1.0 - float(np.mean([example.losses[-1] for example in examples]))
    wanted = target.accuracy * last if target.relative else target.accuracy
    return (
        f"target accuracy: {wanted:.4f} cannot be reached by a cascade of {', '.join(order)}, with "
        f"{target.caution:g} standard errors to spare: {order[-1]} alone has {last:.4f}, the most "
        f"cautious cascade {reached:.4f}. Lower the target, end the cascade with a better model, "
        "or send more feedback"
    )


class _Scale(NamedTuple):
    """One signal as a number that rises with confidence."""

    signal: Signal
    gates: tuple[Gate, ...] = ()
    """Of all models but the last; empty where the signal needs none."""

    @property
    def top(self) -> float:
        """The confidence of one who is certain."""
        return 0.0 if self.signal == "entropy" else 1.0

    @property
    def bottom(self) -> float:
        """A confidence that everyone has who says anything of it."""
        return -_ANY_ENTROPY if self.signal == "entropy" else 0.0

    def confidence(self, stage: int, features: Features | None) -> float:
        """Return the confidence of a model's vote."""
        if features is None:
            return float("-inf")
        if self.signal == "entropy":
            return -features.entropy
        if self.signal == "gate":
            return self.gates[stage].probability(features)
        return features.max_probability

    def threshold(self, confidence: float) -> float:
        """Return the policy's threshold that asks for this confidence."""
        return abs(confidence) if self.signal == "entropy" else confidence


class _Queries(NamedTuple):
    """Labelled queries as arrays: one row for each, one column for each model."""

    confidence: _Floats
    """Of all models but the last."""
    losses: _Floats
    prices: _Floats

    scale: _Scale

    @staticmethod
    def of(examples: Sequence[Example], scale: _Scale, prices: _Floats) -> _Queries:
        """Return the arrays of some examples."""
        confidence = [
            [scale.confidence(stage, one) for stage, one in enumerate(example.features[:-1])]
            for example in examples
        ]
        losses = [example.losses for example in examples]
        return _Queries(np.array(confidence), np.array(losses), prices, scale)

    def ends(self, thresholds: Sequence[float]) -> npt.NDArray[np.intp]:
        """Return which model answers each query."""
        sure = np.hstack(
            (self.confidence >= np.array(thresholds), np.ones((len(self.losses), 1), bool))
        )
        ends: npt.NDArray[np.intp] = np.argmax(sure, axis=1)
        return ends

    def losses_at(self, ends: npt.NDArray[np.intp]) -> _Floats:
        """Return the loss of each query, given who answers it."""
        losses: _Floats = self.losses[np.arange(len(ends)), ends]
        return losses

    def cost_at(self, ends: npt.NDArray[np.intp]) -> float:
        """Return the mean cost of a query: all models up to the one that answers."""
        return float(np.cumsum(self.prices)[ends].mean())

    def result(self, thresholds: Sequence[float]) -> Result:
        """Return what these thresholds do."""
        ends = self.ends(thresholds)
        accuracy = 1.0 - float(self.losses_at(ends).mean())
        dear = 1.0 - float(self.losses[:, -1].mean())
        cost = self.cost_at(ends)
        return Result(
            accuracy=accuracy,
            relative_accuracy=accuracy / dear if dear else float("inf"),
            cost=cost,
            relative_cost=cost / float(self.prices[-1]) if self.prices[-1] else float("inf"),
            asked_share=tuple(
                float((ends >= stage).mean()) for stage in range(self.losses.shape[1])
            ),
        )

    def alone(self) -> list[float]:
        """Return each model's accuracy."""
        return [float(value) for value in 1.0 - self.losses.mean(axis=0)]

    def surest(self) -> float:
        """Return the accuracy when only full confidence ends a cascade early."""
        return self.result([self.scale.top] * self.confidence.shape[1]).accuracy

    def meets(self, ends: npt.NDArray[np.intp], target: Target) -> bool:
        """Return whether the target is met, with its caution."""
        right = 1.0 - self.losses_at(ends)
        wanted = target.accuracy * (1.0 - self.losses[:, -1] if target.relative else 1.0)
        spare = right - wanted
        error = float(spare.std()) / len(spare) ** 0.5
        return bool(spare.mean() >= target.caution * error - 1e-12)

    def cuts(self, stage: int, most: int) -> list[float]:
        """Return thresholds, falling, that part the queries in up to ``most`` ways."""
        values = np.unique(self.confidence[:, stage])
        values = values[np.isfinite(values)]
        between = (values[1:] + values[:-1]) / 2.0
        if len(between) > most:
            between = between[np.linspace(0, len(between) - 1, most).astype(int)]
        inner = [float(value) for value in between[::-1] if value < self.scale.top]
        return [self.scale.top, *inner, self.scale.bottom]

    def curve(self) -> tuple[CurvePoint, ...]:
        """Return cost and accuracy over one threshold for all models, the cheapest first."""
        known = self.confidence[np.isfinite(self.confidence)]
        shares = np.linspace(0.0, 1.0, _CURVE_POINTS)
        values = list(np.quantile(known, shares)) if len(known) else []
        points = []
        for value in np.unique([self.scale.bottom, *values, self.scale.top]):
            found = self.result([float(value)] * self.confidence.shape[1])
            threshold = self.scale.threshold(float(value))
            points.append(CurvePoint(threshold, found.cost, found.accuracy))
        return tuple(points)


class _Candidate(NamedTuple):
    """One signal with both halves of the queries as it sees them."""

    scale: _Scale
    sought_on: _Queries
    judged_on: _Queries


def _lowest(queries: _Queries, target: Target) -> tuple[float, ...] | None:
    """Return the threshold lowered until the target, once met, is missed; None: never met.

    For several thresholds, those of least cost on a coarse grid.
    """
    stages = queries.confidence.shape[1]
    if stages > 1:
        return _cheapest_on_grid(queries, target, round(_GRID_POINTS ** (1.0 / stages)))
    found: tuple[float, ...] | None = None
    for cut in queries.cuts(0, _CUTS):
        if queries.meets(queries.ends((cut,)), target):
            found = (cut,)
        elif found is not None:
            break
    return found


def _cheapest_on_grid(queries: _Queries, target: Target, most: int) -> tuple[float, ...] | None:
    grid = itertools.product(
        *(queries.cuts(stage, most) for stage in range(queries.confidence.shape[1]))
    )
    best: tuple[float, ...] | None = None
    cost = float("inf")
    for thresholds in grid:
        ends = queries.ends(thresholds)
        tried = queries.cost_at(ends)
        if tried < cost and queries.meets(ends, target):
            best, cost = thresholds, tried
    return best


def _fit_gates(examples: Sequence[Example]) -> tuple[Gate, ...]:
    stages = range(len(examples[0].losses) - 1)
    return tuple(
        fit_gate(
            [example.features[stage] for example in examples],
            [example.losses[stage] for example in examples],
        )
        for stage in stages
    )
