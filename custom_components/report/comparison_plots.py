"""Pictures of two or more sets of codes: the share of each code, and which codes became which."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from custom_components.data.code_values import CODES
from custom_components.report.comparison import FAILURE, SUCCESS, Share
from custom_components.report.qa_plots import COLOURS, NAMES

WIDEST_NAME = 28
"""Letters of a set's name that are shown."""


class Bars(NamedTuple):
    """The shares of one set, by code; `is_before` draws them lighter."""

    name: str
    shares: Sequence[Share]
    is_before: bool


def draw_shares(sets: Sequence[Bars]) -> Figure:
    """Draw the share of each code in each set as a bar with its 95 % interval, a panel for each code.

    Args:
        sets: from top to bottom.
    """
    figure = Figure(figsize=(11, 1.3 + 0.42 * len(sets)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(CODES), sharey=True)
    places = np.arange(len(sets))
    # room for the numbers beside the longest bar
    limit = 1.5 * max(share.high for one in sets for share in one.shares)
    for code, axes in zip(CODES, panels, strict=True):
        of_code = [one.shares[code] for one in sets]
        colours = [_mixed_with_white(COLOURS[code], 0.45 if one.is_before else 1.0) for one in sets]
        errors = [[s.share - s.low for s in of_code], [s.high - s.share for s in of_code]]
        axes.barh(places, [s.share for s in of_code], color=colours, height=0.7)
        axes.errorbar([s.share for s in of_code], places, xerr=errors, fmt="none", ecolor="0.2", capsize=3, linewidth=1)
        for place, s in zip(places, of_code, strict=True):
            axes.text(
                s.high + 0.02 * limit, place, f"{100 * s.share:.1f} %  ({s.cases})", va="center", fontsize="small"
            )
        axes.set(xlim=(0, limit), title=f"{code} {NAMES[code]}")
        axes.set_xticks([tick for tick in MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, limit) if tick <= 1])
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_yticks(places, [f"{_short(one.name)}  ({one.shares[0].total})" for one in sets])
    panels[0].invert_yaxis()
    panels[1].set_xlabel("share of the cases, with 95 % interval")
    return figure


def draw_transitions(tables: Sequence[tuple[str, NDArray[np.int64]]]) -> Figure:
    """Draw which codes became which: a panel for each method, better codes in green, worse ones in orange.

    Args:
        tables: name, and (3, 3) cases by code before (rows) and after (columns).
    """
    columns = min(3, len(tables))
    rows = math.ceil(len(tables) / columns)
    figure = Figure(figsize=(0.6 + 3.6 * columns, 3.6 * rows), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, table) in zip(panels, tables, strict=False):
        _draw_table(axes, table)
        axes.set_title(_short(name), fontsize="medium")
    for axes in panels[len(tables) :]:
        axes.axis("off")
    return figure


def _draw_table(axes: Axes, table: NDArray[np.int64]) -> None:
    counts = np.asarray(table)
    shares = counts / max(1, counts.max())
    better, worse, same = (np.array(to_rgb(colour)) for colour in (COLOURS[SUCCESS], COLOURS[FAILURE], "0.55"))
    picture = np.zeros((*counts.shape, 3))
    for row, column in np.ndindex(*counts.shape):
        colour = same if row == column else better if column < row else worse
        # pale, so that black numbers stay readable
        strength = 0.12 + 0.5 * shares[row, column] if counts[row, column] else 0.03
        picture[row, column] = 1 - strength * (1 - colour)
        axes.text(column, row, str(counts[row, column]), ha="center", va="center")
    axes.imshow(picture)
    ticks = [f"{code}\n{NAMES[code]}" for code in CODES]
    axes.set_xticks(list(CODES), ticks, fontsize="small")
    axes.set_yticks(list(CODES), ticks, fontsize="small")
    axes.set(xlabel="code after", ylabel="code before")
    axes.tick_params(length=0)


def _mixed_with_white(colour: str, strength: float) -> tuple[float, ...]:
    return tuple(1 - strength * (1 - part) for part in to_rgb(colour))


def _short(name: str) -> str:
    """A name as text, shortened in its middle; a dollar sign would begin a formula."""
    half = WIDEST_NAME // 2
    shown = name if len(name) <= WIDEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
    return shown.replace("$", r"\$")
