"""A picture of what a body-part regressor finds in a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from custom_components.body_part.regressor import BodyPart
from custom_components.body_part.slices import HU_WINDOW, PIXEL_MM, PIXELS

SHOWN_HU = (-200.0, 300.0)


def draw_body_part(found: BodyPart, scores: Sequence[float], *, landmarks: Mapping[str, float] | None = None) -> Figure:
    """Draw the middle coronal plane of a scan beside its slice scores, with the crop in both.

    The patient stands, with the right side on the viewer's left.

    Args:
        found: in the scan.
        scores: of the uppermost and of the lowest slice that are kept.
        landmarks: mm above the first slice, by name.
    """
    heights = found.slices.height
    mm = max(float(heights[-1]), 1.0)
    edges = sorted(found.line.height_of(score) for score in scores)
    bottom, top = min(0, edges[0]) - 10, max(mm, edges[1]) + 10
    figure = Figure(figsize=(9, min(12.0, 1 + 4 * (top - bottom) / (PIXELS * PIXEL_MM))), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    plane, curve = figure.subplots(1, 2, sharey=True)
    _draw_plane(plane, found)
    _draw_scores(curve, found, landmarks or {})
    for axes in (plane, curve):
        axes.set_box_aspect((top - bottom) / (PIXELS * PIXEL_MM))  # true to millimetres, and both of one height
        axes.axhspan(*edges, color="#56b4e9", alpha=0.15, linewidth=0)
        for edge in edges:
            axes.axhline(edge, color="#0072b2", linewidth=1)
        axes.set_ylim(bottom, top)
    plane.set_ylabel("mm above the first slice")
    curve.set_title(f"slice scores; kept: {scores[0]:g} to {scores[1]:g}")
    return figure


def _draw_plane(axes: Axes, found: BodyPart) -> None:
    images, heights = found.slices.images.numpy(), found.slices.height
    low, high = HU_WINDOW
    hu = images[:, ::-1, _middle(images)] * (high - low) + low  # (N, 128) from the patient's right to the left
    side, half = PIXELS * PIXEL_MM / 2, (heights[1] - heights[0]) / 2
    axes.imshow(
        hu, cmap="gray", vmin=SHOWN_HU[0], vmax=SHOWN_HU[1], origin="lower", interpolation="bilinear",
        extent=(-side, side, -half, heights[-1] + half), aspect="auto",
    )  # fmt: skip
    axes.set_xlabel("mm; the patient's right is on the left")
    axes.set_title("middle coronal plane")


def _middle(images: np.ndarray) -> int:
    """The column with most tissue around it, from back to front."""
    body = (images > (-200 - HU_WINDOW[0]) / (HU_WINDOW[1] - HU_WINDOW[0])).sum(axis=(0, 1))
    return round(float(np.average(np.arange(len(body)), weights=body + 1e-6)))


def _draw_scores(axes: Axes, found: BodyPart, landmarks: Mapping[str, float]) -> None:
    heights, line = found.slices.height, found.line
    axes.plot(found.scores, heights, ".", markersize=4, color="#0072b2", label="slices")
    ends = np.array([heights[0], heights[-1]])
    axes.plot(line.at(ends), ends, color="#d55e00", linewidth=1.2, label="line (RANSAC)")
    for number, (name, mm) in enumerate(landmarks.items()):
        axes.plot(line.at(mm), mm, "kx", markersize=7, label="landmarks of the label" if number == 0 else None)
        axes.annotate(name, (float(line.at(mm)), mm), xytext=(8, -3), textcoords="offset points", fontsize=8)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    axes.set_xlabel("slice score (low: towards the head)")
