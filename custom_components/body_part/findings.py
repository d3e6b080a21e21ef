"""What the slice scores of a scan say about it: upside down, mirrored, wrongly spaced, or another part of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from custom_components.body_part.line import TOLERANCE
from custom_components.body_part.regressor import ABDOMEN, BodyPart

SLOPES = (0.65, 1.5)
"""Least and largest slope of a patient's slice scores, as parts of the usual one."""
MIRRORED = 0.7
"""Probability from which a scan counts as mirrored."""
LEAST_INLIERS = 0.5
"""Share of the slices of the abdomen that must lie on one line; beyond it scores need not go on as they should."""
LEAST_COVER = 0.15
"""Part of the wanted range of scores that a scan must cover."""


_REVERSED = {
    "is upside down": lambda mirrored: mirrored > MIRRORED,  # turned about its axis from front to back
    "has its slices in reverse order": lambda mirrored: mirrored < 1 - MIRRORED,
}


def is_in_reverse_order(found: BodyPart, slope: float) -> bool:
    """Whether it is certain that the slices of a scan are in reverse order, each of them as it should be.

    Args:
        found: in the scan.
        slope: usual change of the score in mm upwards, a negative number.
    """
    is_line = _on_line(found) >= LEAST_INLIERS and SLOPES[0] <= -found.line.slope / slope <= SLOPES[1]
    return is_line and found.mirrored < 1 - MIRRORED


def check_body_part(found: BodyPart, slope: float, scores: Sequence[float]) -> None:
    """Refuse a scan that is not what its header says, or not of the abdomen.

    Args:
        found: in the scan.
        slope: usual change of the score in mm upwards, a negative number.
        scores: range that is wanted, upper end first.

    Raises:
        ValueError: one line that says what was found and what was expected.
    """
    line, (top, bottom) = found.line, scores
    if (share := _on_line(found)) < LEAST_INLIERS:
        raise ValueError(
            f"is no scan of a trunk: {share:.0%} of its slices lie on a line of slice scores, "
            f"expected at least {LEAST_INLIERS:.0%}"
        )
    ends = line.at(found.slices.height[[0, -1]])
    cover = min(bottom, ends.max()) - max(top, ends.min())
    if cover < LEAST_COVER * (bottom - top):
        raise ValueError(
            f"is of another part of the body: slice scores {ends.min():.1f} to {ends.max():.1f}, "
            f"expected those of the abdomen, {top:g} to {bottom:g}"
        )
    if line.slope > 0:
        sides = [how for how, is_so in _REVERSED.items() if is_so(found.mirrored)]
        raise ValueError(f"{' or '.join(sides or _REVERSED)}: slice scores grow upwards")
    ratio = line.slope / slope
    if not SLOPES[0] <= ratio <= SLOPES[1]:
        raise ValueError(
            f"has a wrong slice spacing: its slices seem to lie {ratio:.2f} times as far apart as the header says"
        )
    if found.mirrored > MIRRORED:
        raise ValueError(f"has left and right exchanged (probability {found.mirrored:.2f})")


def _on_line(found: BodyPart) -> float:
    """Share of the slices that the line puts into the abdomen, or of all if it puts none there, that lie near it."""
    expected = found.line.at(found.slices.height)
    inside = np.abs(expected) <= ABDOMEN
    near = np.abs(found.scores - expected) <= TOLERANCE
    return float(near[inside].mean()) if inside.any() else found.line.inliers
