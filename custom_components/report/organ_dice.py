"""The measures of an evaluation by organ: as a summary, as a table for the terminal, and as a picture."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table

from custom_components.anatomy import ORGAN_NAMES, ORGANS


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the rows of `OrganMetrics` by organ, with the mean over the organs last.

    Returns:
        Columns `organ, cases` (with a Dice), `dice_mean, dice_median, dice_sd, hd95_median_mm,
        surface_dice_mean`. The distance is a median, because it is infinite where an organ was missed; its
        mean over organs leaves out organs that were missed in half of their cases.
    """
    groups = table.groupby("organ")
    summary = pd.DataFrame(
        {
            "cases": groups["dice"].count(),
            "dice_mean": groups["dice"].mean(),
            "dice_median": groups["dice"].median(),
            "dice_sd": groups["dice"].std(),
            "hd95_median_mm": groups["hd95_mm"].median(),
            "surface_dice_mean": groups["surface_dice"].mean(),
        }
    ).reindex(ORGAN_NAMES)
    summary = summary.astype(float)
    summary.loc["mean over organs"] = summary.replace(np.inf, np.nan).mean()
    summary.loc["mean over organs", "cases"] = summary["cases"][:-1].max()
    return summary.rename_axis("organ").reset_index()


def draw_dice_boxes(table: pd.DataFrame) -> Figure:
    """Draw the Dice of each organ as a box with its cases as points.

    Args:
        table: rows of `custom_components.handlers.organ_metrics.OrganMetrics`.
    """
    figure = Figure(figsize=(10, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    values = [table.loc[table["organ"] == name, "dice"].dropna().to_numpy() for name in ORGAN_NAMES]
    axes.boxplot(values, showfliers=False, medianprops={"color": "black"})
    for organ, points in zip(ORGANS, values, strict=True):
        places = organ.index + np.linspace(-0.15, 0.15, len(points) + 2)[1:-1]
        colour = [value / 255 for value in organ.colour]
        axes.scatter(places, points, s=14, color=colour, edgecolors="0.3", linewidths=0.4, zorder=3)
    labels = [f"{name.replace('_', ' ')} ({len(x)})" for name, x in zip(ORGAN_NAMES, values, strict=True)]
    axes.set_xticks([organ.index for organ in ORGANS], labels, rotation=35, ha="right")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("Dice")
    axes.grid(axis="y", alpha=0.3)
    return figure


def summary_table(summary: pd.DataFrame) -> Table:
    """Lay the summary out for a terminal.

    Args:
        summary: as `summarise` gives it.
    """
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for column in summary.columns:
        is_name = column == "organ"
        table.add_column(column.replace("_", " "), justify="left" if is_name else "right", no_wrap=is_name, min_width=7)
    for name, cases, *numbers in summary.itertuples(index=False):
        cells = ["" if math.isnan(number) else f"{number:.3f}" for number in numbers]
        style = "bold" if name == "mean over organs" else None
        table.add_row(str(name).replace("_", " "), f"{cases:g}", *cells, style=style)
    return table
