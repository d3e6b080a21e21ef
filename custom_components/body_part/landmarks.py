"""Places in the body that have a fixed slice score, found in labels of organs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from custom_components.anatomy import INDEX


class Landmark(NamedTuple):
    """One place.

    Attributes:
        organs: whose labels show it.
        part: 1 for their upper end, 0 for their lower end, 0.5 for the middle between.
        score: that every patient shall have there; None: it is only measured.
    """

    organs: tuple[str, ...]
    part: float
    score: float | None = None


LANDMARKS: Mapping[str, Landmark] = {
    "top of the liver": Landmark(("liver",), 1, -4.0),
    "top of the spleen": Landmark(("spleen",), 1),
    "middle of the kidneys": Landmark(("right_kidney", "left_kidney"), 0.5, 0.0),
    "bottom of the liver": Landmark(("liver",), 0),
    "bottom of the kidneys": Landmark(("right_kidney", "left_kidney"), 0),
}
"""The scale: -4 at the top of the liver and 0 in the middle of the kidneys, on average; so 1 is about 3 cm."""


def landmark_indices(label: NDArray[np.integer]) -> dict[str, float]:
    """Find landmarks in a label map; one whose organ is missing or cut off by the end of the scan is left out.

    Args:
        label: (X, Y, Z) in RAS, with our numbers.

    Returns:
        Index along Z by name.

    Example:
        >>> label = np.zeros((4, 4, 9), int)
        >>> label[0, 0, 2:5], label[3, 3, 4:7] = INDEX["right_kidney"], INDEX["left_kidney"]
        >>> landmark_indices(label)
        {'middle of the kidneys': 4.0, 'bottom of the kidneys': 2.0}
    """
    spans, found = organ_spans(label), {}
    for name, landmark in LANDMARKS.items():
        ends = [spans[organ] for organ in landmark.organs if organ in spans]
        if len(ends) == len(landmark.organs):
            lows, highs = np.array(ends, dtype=float).T
            middle = landmark.part == 0.5
            found[name] = float((lows + highs).mean() / 2 if middle else highs.max() if landmark.part else lows.min())
    return found


def organ_spans(label: NDArray[np.integer]) -> dict[str, tuple[int, int]]:
    """First and last slice of each organ that lies whole within a scan.

    Args:
        label: (X, Y, Z) in RAS, with our numbers.
    """
    spans = {name: _span(label == number) for name, number in INDEX.items()}
    return {name: span for name, span in spans.items() if span is not None}


def _span(organ: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last slice of an organ that is there whole."""
    slices = np.flatnonzero(organ.any(axis=(0, 1)))
    if not len(slices) or slices[0] == 0 or slices[-1] == organ.shape[2] - 1:
        return None
    return int(slices[0]), int(slices[-1])
