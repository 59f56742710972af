"""`replay`, `calibrate`, `cascade tune`: what the log of feedback tells, computed here.

They run the selection layer's own code on records that the management frontend hands out, so that a
long computation stays off the servers. It is loaded by the commands that need it only.
"""

from __future__ import annotations

import json
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clipper.cli import context, plots
from clipper.cli.apps import named_values
from clipper.cli.policies import percent, shown
from clipper.errors import ClipperException

if TYPE_CHECKING:
    from clipper.admin.connection import ClipperConnection
    from clipper.selection.cascade_tuning import CascadeTuning
    from clipper.selection.default_action import DefaultTuning
    from clipper.selection.records import FeedbackRecord
    from clipper.selection.replay import Evaluation

cascade_group = typer.Typer(
    no_args_is_help=True,
    help="Cascades of models, cheap ones first.",
    epilog="Example: clipper cascade tune my-app --target-accuracy 0.98",
)

App = Annotated[str, typer.Argument(help="Name of the application.")]
Count = Annotated[int, typer.Option(min=1, help="How many labelled queries, the newest ones.")]
Plot = Annotated[pathlib.Path | None, typer.Option(help="File for a diagram: .png, .svg or .pdf.")]
Seed = Annotated[int, typer.Option(help="Of everything random: the same again gives the same.")]


def add_commands(app: typer.Typer) -> None:
    """Add this file's commands outside the group."""
    app.command(epilog="Example: clipper replay my-app --policy exp3 --option eta=0.1")(replay)
    app.command(epilog="Example: clipper calibrate my-app --plot reliability.png")(calibrate)


def replay(
    ctx: typer.Context,
    app: App,
    policy: Annotated[str, typer.Option(help="Selection policy; `clipper policy list`.")],
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the policy, NAME=VALUE; repeatable.")
    ] = None,
    count: Count = 10_000,
    seed: Seed = 0,
) -> None:
    """Estimate how another policy would have done on the labelled queries."""
    from clipper.selection.catalog import find_policy
    from clipper.selection.losses import LossKind
    from clipper.selection.options import decode_options
    from clipper.selection.replay import Question
    from clipper.selection.replay import replay as evaluate

    session = context.of(ctx)
    kind = find_policy(policy)
    target = kind(decode_options(kind, named_values("--option", option or ())))
    connection = session.connected()
    settings = connection.get_policy(app)
    question = Question(LossKind(settings["loss"]), settings["loss_scale"], settings["costs"], seed)
    found = evaluate(_log(connection, app, count), target, question)
    if session.output.is_json:
        session.output.json(_plain(found) | {"policy": policy})
        return
    session.output.table(
        f"Mean loss of {policy} on {found.queries} queries of {app}",
        ("estimate", "value", "standard error", "95 % from", "to"),
        _estimate_rows(found),
    )
    asked = [f"{name} {percent(share)}" for name, share in found.asked_share.items()]
    session.output.table(
        "Details",
        ("property", "value"),
        [
            ("queries left aside", found.skipped),
            ("effective sample size", f"{found.effective_sample_size:.0f}"),
            ("cost per query", shown(found.cost_per_query)),
            ("asked", asked),
        ],
    )


def _estimate_rows(found: Evaluation) -> list[tuple[object, ...]]:
    estimates = {
        "as logged, by the old policy": found.logged,
        "direct": found.direct,
        "inverse propensity": found.ips,
        "self-normalised": found.snips,
        "doubly robust": found.doubly_robust,
    }
    return [
        (name, *(f"{value:.4f}" for value in (one.value, one.standard_error, one.low, one.high)))
        for name, one in estimates.items()
        if one is not None
    ]


def calibrate(
    ctx: typer.Context,
    app: App,
    cost_of_wrong: Annotated[
        float | None, typer.Option(help="Cost of a wrong answer: suggests a min_confidence.")
    ] = None,
    cost_of_default: Annotated[float, typer.Option(help="Cost of a default output.")] = 1.0,
    plot: Plot = None,
    count: Count = 10_000,
    seed: Seed = 0,
) -> None:
    """Compare calibrations of an application's confidence; draw the reliability diagram."""
    from clipper.selection.calibration import Calibration, fit
    from clipper.selection.calibration_check import LabelledAnswers, check_calibrations
    from clipper.selection.default_action import cheapest_min_confidence

    session = context.of(ctx)
    connection = session.connected()
    settings = connection.get_policy(app)
    method = Calibration(settings["calibration"])
    answers = LabelledAnswers.of(_log(connection, app, count), settings["policy"])
    checks = check_calibrations(answers, seed)
    tuning = None
    if cost_of_wrong is not None:
        calibrator = fit(method, answers.state())
        calibrated = [calibrator(raw) for raw in answers.confidences]
        tuning = cheapest_min_confidence(calibrated, answers.losses, cost_of_wrong, cost_of_default)
    if plot is not None:
        curves = {
            str(one.method): [(bar.confidence, bar.accuracy) for bar in one.reliability]
            for one in checks
        }
        plots.draw_reliability(plot, curves)
    if session.output.is_json:
        session.output.json(
            {
                "answers": len(answers.losses),
                "in_use": method,
                "calibrations": _plain(checks),
                "min_confidence": None if tuning is None else _plain(tuning),
            }
        )
        return
    session.output.table(
        f"Calibration of {app} on {len(answers.losses)} labelled answers",
        ("method", "expected calibration error", "in use"),
        [(one.method, shown(one.error), one.method is method) for one in checks],
    )
    if tuning is not None:
        session.output.table("Minimum confidence", ("property", "value"), _default_rows(tuning))
        session.output.note(
            f"To use it: clipper apps update {app} --min-confidence {tuning.best.threshold:.4g}"
        )
    if plot is not None:
        session.output.note(f"The reliability diagram is in {plot}")


def _default_rows(tuning: DefaultTuning) -> list[tuple[str, object]]:
    return [
        ("min_confidence of least cost", shown(tuning.best.threshold)),
        ("cost per query with it", shown(tuning.best.cost)),
        ("share of defaults with it", percent(tuning.best.default_share)),
        ("cost when everything is answered", shown(tuning.never.cost)),
        ("cost when nothing is", shown(tuning.always.cost)),
    ]


@cascade_group.command(epilog="Example: clipper cascade tune my-app --target-accuracy 0.98")
def tune(
    ctx: typer.Context,
    app: App,
    target_accuracy: Annotated[
        float, typer.Option(min=0.0, help="Least accuracy, as a multiple of the last model's.")
    ],
    absolute: Annotated[
        bool, typer.Option("--absolute", help="The target is an accuracy, not a multiple.")
    ] = False,
    order: Annotated[
        str | None,
        typer.Option(help="Models, cheapest first: a,b,c. Default: the linked ones by cost."),
    ] = None,
    signal: Annotated[
        str, typer.Option(help="max-probability, entropy or gate; auto takes the cheapest.")
    ] = "auto",
    caution: Annotated[
        float, typer.Option(min=0.0, help="Standard errors by which to exceed the target.")
    ] = 1.0,
    plot: Plot = None,
    count: Count = 10_000,
    seed: Seed = 0,
) -> None:
    """Find the thresholds of a cascade that is cheap and as accurate as wanted."""
    from clipper.selection import cascade_tuning

    session = context.of(ctx)
    signals = [one for one in cascade_tuning.SIGNALS if signal in ("auto", one)]
    if not signals:
        known = ", ".join(cascade_tuning.SIGNALS)
        raise ClipperException(f"--signal {signal}: use one of: auto, {known}")
    connection = session.connected()
    settings = connection.get_policy(app)
    names = choose_order(order, settings)
    examples = cascade_tuning.read_examples(_log(connection, app, count), names)
    found = cascade_tuning.tune(
        examples,
        names,
        settings["costs"],
        cascade_tuning.Target(target_accuracy, relative=not absolute, caution=caution),
        signals,
        seed,
    )
    if plot is not None:
        judged = found.judged_on
        plots.draw_cost_curve(
            plot,
            [(point.cost, point.accuracy) for point in found.curve],
            {"chosen thresholds": (judged.cost, judged.accuracy)},
        )
    if session.output.is_json:
        session.output.json(_plain(found))
        return
    session.output.table(
        f"Cascade of {app} on {found.queries} labelled queries",
        ("property", "value"),
        _cascade_rows(found),
    )
    session.output.text(f"policy_options: {json.dumps(found.options)}")
    options = [shlex.quote(f"{name}={json.dumps(value)}") for name, value in found.options.items()]
    flags = " ".join(f"--option {option}" for option in options)
    session.output.note(f"To use it: clipper apps update {app} --policy cascade {flags}")
    if plot is not None:
        session.output.note(f"Accuracy over cost is drawn in {plot}")


def choose_order(given: str | None, settings: Mapping[str, Any]) -> list[str]:
    """Return the models of a cascade: those given, or all linked ones, cheapest first."""
    if given is not None:
        return [name.strip() for name in given.split(",")]
    arms: Sequence[Mapping[str, Any]] = settings["summary"]["arms"]
    return [arm["model"] for arm in sorted(arms, key=lambda arm: float(arm["cost"]))]


def _cascade_rows(found: CascadeTuning) -> list[tuple[str, object]]:
    judged = found.judged_on
    asked = zip(found.models, judged.asked_share, strict=True)
    return [
        ("signal", found.signal),
        ("thresholds", [shown(value) for value in found.options["thresholds"]]),
        ("accuracy of the models alone", [f"{n} {a:.4f}" for n, a in found.models.items()]),
        ("accuracy, where thresholds were sought", f"{found.sought_on.accuracy:.4f}"),
        ("accuracy to expect", f"{judged.accuracy:.4f}"),
        ("as a multiple of the last model's", f"{judged.relative_accuracy:.4f}"),
        ("mean cost of a query", shown(judged.cost)),
        ("as a multiple of the last model's", shown(judged.relative_cost)),
        ("queries that ask", [f"{name} {percent(share)}" for name, share in asked]),
    ]


def _plain(found: object) -> Any:
    """Return structs as what JSON is made of."""
    import msgspec

    return msgspec.to_builtins(found)


def _log(connection: ClipperConnection, app: str, count: int) -> list[FeedbackRecord]:
    import msgspec

    from clipper.selection.records import decode_feedback

    try:
        return [decode_feedback(entry) for entry in connection.get_feedback_log(app, count)]
    except msgspec.MsgspecError as error:
        raise ClipperException(
            f"The log of {app} has a record that cannot be read: {error}. Are this command and "
            "the cluster of the same version?"
        ) from error
