"""The picture of a fooling monitor: do score, watchers and segmentations go the same way?"""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from custom_components.report.validation_curve import COLOURS


def draw_looks(table: pd.DataFrame, flagged: str = "") -> Figure:
    """Draw what a fooling monitor noted.

    Args:
        table: `fooling.csv` of `custom_components.handlers.fooling_monitor.FoolingMonitor`, a row a look.
        flagged: why the run was flagged, beginning with `iteration N:`; nothing if it was not.
    """
    figure = Figure(figsize=(9, 9), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    scores, shapes, volumes = figure.subplots(3, sharex=True)
    _lines(scores, table, {"score": "QA score, gives the gradient", "watcher_score": "watchers, give none"})
    scores.set_ylabel("QA score")
    scores.axhline(0.5, color="grey", linewidth=0.6, linestyle=":")
    scores.axhline(1.5, color="grey", linewidth=0.6, linestyle=":")
    labels = {
        "implausible": "share of implausible cases",
        "overlap": "Dice with the start",
        "bias": "error of a volume, good cases",
        "drift": "drift of the weights",
    }
    _lines(shapes, table, labels)
    shapes.set_ylabel("share")
    shapes.set_ylim(-0.02, max(1.02, 1.05 * float(table["drift"].max())))
    organs = [name for name in table.columns if name.endswith("_ml")]
    relative = pd.DataFrame({name: table[name] / max(float(table[name].iloc[0]), 1e-6) for name in organs})
    relative["pieces"] = table["pieces"] / max(float(table["pieces"].iloc[0]), 1e-6)
    relative["iteration"] = table["iteration"]
    names = {name: name.removesuffix("_ml").replace("_", " ") for name in organs}
    _lines(volumes, relative, {**names, "pieces": "pieces of an organ"})
    volumes.set_ylabel("mean volume, pieces / start")
    volumes.set_xlabel("iteration")
    if len(relative) and float(relative[organs].max(axis=None)) > 3:
        volumes.set_yscale("log")
        volumes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        volumes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        volumes.yaxis.set_minor_formatter(NullFormatter())
    for axes in (scores, shapes, volumes):
        axes.grid(alpha=0.3)
        if flagged:
            axes.axvline(_iteration(flagged), color="tab:red", linestyle="--", linewidth=1)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    title = f"flagged, {flagged}" if flagged else "not flagged"
    figure.suptitle(title, fontsize="medium", color="tab:red" if flagged else "black", wrap=True)
    return figure


def _lines(axes: Axes, table: pd.DataFrame, labels: dict[str, str]) -> None:
    for (name, label), colour in zip(labels.items(), COLOURS, strict=False):
        known = table.dropna(subset=name)
        if len(known):
            axes.plot(known["iteration"], known[name], marker=".", color=colour, label=label)


def _iteration(flagged: str) -> int:
    return int(flagged.split(":")[0].split()[-1])
