"""Diagrams of the offline commands. matplotlib is loaded only when one is drawn."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from clipper.errors import ClipperException

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float]
"""Across and up."""


def draw_reliability(path: pathlib.Path, curves: Mapping[str, Sequence[Point]]) -> None:
    """Draw accuracy over confidence, a curve for each method, beside the ideal diagonal.

    Raises:
        ClipperException: matplotlib is absent, or does not know the file's type.
    """
    figure = _figure()
    axes = figure.subplots()
    axes.plot((0, 1), (0, 1), color="grey", linestyle="dashed", label="ideal")
    for name, points in curves.items():
        axes.plot(*_columns(points), marker="o", label=name)
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    _save(figure, axes, path)


def draw_cost_curve(path: pathlib.Path, curve: Sequence[Point], marks: Mapping[str, Point]) -> None:
    """Draw accuracy over cost, and some points by name.

    Raises:
        ClipperException: matplotlib is absent, or does not know the file's type.
    """
    figure = _figure()
    axes = figure.subplots()
    axes.plot(*_columns(curve), label="one threshold for all models")
    for name, (across, up) in marks.items():
        axes.plot([across], [up], marker="o", linestyle="none", label=name)
    axes.set(xlabel="mean cost of a query", ylabel="accuracy")
    _save(figure, axes, path)


def _figure() -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ClipperException(
            "Diagrams are drawn with matplotlib, which is not installed: "
            "pip install clipper-serving[plots]"
        ) from error
    return Figure(figsize=(6.0, 4.5), layout="constrained")


def _columns(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    return [across for across, _ in points], [up for _, up in points]


def _save(figure: Figure, axes: Any, path: pathlib.Path) -> None:
    axes.legend()
    try:
        figure.savefig(path)
    except ValueError as error:  # of the file's ending
        raise ClipperException(f"{path}: {error}") from error
