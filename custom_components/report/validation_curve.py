"""The course of trainings: a validation measure by epoch, with the epoch that was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

PREFERRED = ("val_rmse", "val_mean_dice")
"""Measures that choose the epoch of our bundles."""

LOWER_IS_BETTER = ("rmse", "mse", "mae", "loss", "error", "score", "code", "failure", "hd95")
"""Parts of the name of a measure whose lowest value is the best."""

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Of Okabe and Ito."""


class Curve(NamedTuple):
    """A training: its name, a table with `epoch` and measures, and which of these are shown."""

    name: str
    history: pd.DataFrame
    metrics: tuple[str, ...]


def read_curve(path: str | Path, *, name: str = "", metrics: Sequence[str] = ()) -> Curve:
    """Read a `learning_curve.csv`.

    Args:
        path: CSV with the column `epoch`, as `custom_components.handlers.learning_curve.LearningCurve` writes it.
        name: what the training is called; the file's name if not given.
        metrics: columns to show; if none are given the one that chooses the epoch in our bundles.

    Raises:
        ValueError: the file cannot be read, lacks a column, or has an epoch that is no whole number or a measure that
            is no number; one line that says which, and where.
    """
    try:
        # blank lines are kept, so that the others have their numbers
        history = pd.read_csv(path, skip_blank_lines=False).dropna(how="all")
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'no table'}") from None
    chosen = tuple(metrics) or tuple(metric for metric in PREFERRED if metric in history)[:1]
    columns = ", ".join(map(str, history.columns))
    for column in ("epoch", *(chosen or (" or ".join(PREFERRED),))):
        if column not in history:
            raise ValueError(f"{path}: columns are {columns}, expected {column}")
        history[column] = _numbers(history[column], column, path)
    for line, epoch in history["epoch"].items():
        if pd.isna(epoch) or epoch != int(epoch):
            shown = "empty" if pd.isna(epoch) else f"{epoch:g}"
            raise ValueError(f"{path}, line {_line(line)}: epoch is {shown}, expected a whole number")
    return Curve(name or Path(path).name, history, chosen)


def _numbers(cells: pd.Series, column: str, path: str | Path) -> pd.Series:
    """The cells as finite numbers; an empty one stays."""
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = cells[(numbers.isna() & cells.notna()) | numbers.isin([float("inf"), float("-inf")])]
    for line, cell in wrong.items():
        raise ValueError(f"{path}, line {_line(line)}: {column} is {str(cell)!r}, expected a number")
    if numbers.isna().all():
        raise ValueError(f"{path}: column {column} is empty, expected a number in a line at least")
    return numbers


def _line(place: Any) -> int:
    """The number of a line in the file: the first is the header."""
    return int(place) + 2


def best_epoch(curve: Curve, metric: str) -> tuple[int, float]:
    """Give the epoch with the best value of a measure, and the value; of equal ones the first.

    Example:
        >>> table = pd.DataFrame({"epoch": [1, 2, 3], "val_rmse": [0.5, 0.3, 0.4]})
        >>> best_epoch(Curve("a", table, ("val_rmse",)), "val_rmse")
        (2, 0.3)
    """
    known = curve.history.dropna(subset=metric)
    values = known[metric]
    best = values.idxmin() if any(part in metric.lower() for part in LOWER_IS_BETTER) else values.idxmax()
    return int(known["epoch"][best]), float(values[best])


def draw_curves(curves: Sequence[Curve]) -> Figure:
    """Draw each measure in a panel of its own, each training as a line; an arrow or stars mark the best epoch.

    Args:
        curves: of one or more trainings; one that lacks a measure is left out of its panel.
    """
    metrics = list(dict.fromkeys(metric for curve in curves for metric in curve.metrics))
    figure = Figure(figsize=(9, 1 + 3.2 * len(metrics)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(metrics), sharex=True, squeeze=False)[:, 0]
    for metric, axes in zip(metrics, panels, strict=True):
        for number, curve in enumerate(curves):
            if metric in curve.metrics:
                # arrows of several lines would hide each other
                _draw_line(axes, curve, metric, COLOURS[number % len(COLOURS)], with_arrow=len(curves) == 1)
        axes.set_ylabel(metric.replace("_", " "))
        axes.grid(alpha=0.3)
        axes.margins(y=0.2)
        axes.legend(fontsize="small")
    panels[-1].set_xlabel("epoch")
    return figure


def _draw_line(axes: Axes, curve: Curve, metric: str, colour: str, *, with_arrow: bool) -> None:
    known = curve.history.dropna(subset=metric)
    epoch, value = best_epoch(curve, metric)
    label = f"{curve.name}: best {value:.4g}, epoch {epoch}".replace("$", r"\$")
    axes.plot(known["epoch"], known[metric], color=colour, linewidth=1.2, label=label)
    if with_arrow:
        arrow = {"arrowstyle": "-|>", "color": "#d55e00", "linewidth": 1.5}
        axes.annotate("", (epoch, value), (0, 30), textcoords="offset points", arrowprops=arrow)
    else:
        axes.plot(epoch, value, "*", color=colour, markersize=12)
