"""Pictures of a discriminator's evaluation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from custom_components.data.code_values import CODES
from custom_components.report.qa_metrics import Rated, confusion, rated_of

COLOURS = {0: "#009e73", 1: "#e69f00", 2: "#d55e00"}
"""Of Okabe and Ito, which people who do not see red and green can tell apart."""

NAMES = {0: "success", 1: "acceptable", 2: "gross failure"}
LIMITS = (0.5, 1.5)


def draw_evaluation(table: pd.DataFrame) -> Figure:
    """Draw scores by code, the confusion matrix, and the ROC and precision-recall curves of failure and success.

    Args:
        table: a row a rated segmentation: `case_id, code, score`.
    """
    figure = Figure(figsize=(11, 9), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    (scores, matrix), (roc, precision) = figure.subplots(2, 2)
    rated = rated_of(table)
    _draw_scores(scores, rated)
    _draw_confusion(matrix, confusion(table))
    _draw_curves(roc, precision, rated)
    return figure


def _draw_scores(axes: Axes, rated: Rated) -> None:
    rng = np.random.default_rng(0)
    for code in CODES:
        points = rated.score[rated.true_class == code]
        # beside each other, so that equal scores do not hide each other
        places = code + rng.uniform(-0.35, 0.35, len(points))
        axes.scatter(places, points, s=9, alpha=0.5, color=COLOURS[code], linewidths=0, zorder=3)
        if len(points):
            axes.plot([code - 0.4, code + 0.4], [np.median(points)] * 2, color="black", linewidth=1.5)
    for limit in LIMITS:
        axes.axhline(limit, color="0.4", linewidth=0.8, linestyle="--")
    lowest, highest = min(*rated.score, CODES[0]), max(*rated.score, CODES[-1])
    axes.set(xlim=(CODES[0] - 0.5, CODES[-1] + 0.5), ylim=(lowest - 0.1, highest + 0.1))
    counts = [int((rated.true_class == code).sum()) for code in CODES]
    axes.set_xticks(list(CODES), [f"{code} {NAMES[code]}\n({n})" for code, n in zip(CODES, counts, strict=True)])
    axes.set_xlabel("code given")
    axes.set_ylabel("QA score")
    axes.set_title("scores, their medians, and the limits of the codes")


def _draw_confusion(axes: Axes, counts: np.ndarray) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(counts)):
        for column in range(len(counts)):
            share = shares[row, column]
            text = f"{counts[row, column]}\n{share:.0%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.5 else "black")
    ticks = list(CODES)
    axes.set_xticks(ticks, [str(code) for code in ticks])
    axes.set_yticks(ticks, [f"{code} {NAMES[code]}" for code in ticks])
    axes.set_xlabel("nearest code of the score")
    axes.set_ylabel("code given")
    axes.set_title("confusion, with the share of each row")


def _draw_curves(roc: Axes, precision: Axes, rated: Rated) -> None:
    for code in (2, 0):
        positive, score = rated.true_class == code, rated.score if code else -rated.score
        if positive.all() or not positive.any():
            continue
        false_rate, true_rate, _ = roc_curve(positive, score)
        roc.plot(
            false_rate, true_rate, color=COLOURS[code], label=f"{NAMES[code]}: {roc_auc_score(positive, score):.3f}"
        )
        precisions, recalls, _ = precision_recall_curve(positive, score)
        label = f"{NAMES[code]}: {average_precision_score(positive, score):.3f}"
        precision.plot(recalls, precisions, color=COLOURS[code], label=label, drawstyle="steps-post")
        precision.axhline(positive.mean(), color=COLOURS[code], linewidth=0.8, linestyle=":")
    roc.plot([0, 1], [0, 1], color="0.4", linewidth=0.8, linestyle=":")
    for axes, x, y, title in (
        (roc, "false positive rate", "true positive rate", "ROC, with the area"),
        (
            precision,
            "recall (dotted: precision by chance)",
            "precision",
            "precision and recall, with the average precision",
        ),
    ):
        axes.set(xlabel=x, ylabel=y, title=title, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        else:
            axes.text(0.5, 0.5, "not defined: one code only", ha="center", color="0.4", backgroundcolor="white")
