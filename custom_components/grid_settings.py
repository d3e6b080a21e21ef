"""The numbers of the grid on which networks and montages see a CT, checked where they come from a user."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any


def checked_pixdim(values: Any) -> list[float]:
    """Check a voxel size in mm.

    Raises:
        ValueError: it is not three positive numbers.

    Example:
        >>> checked_pixdim((2, 2, 6))
        [2.0, 2.0, 6.0]
    """
    return _checked("pixdim", values, 3, "positive numbers (mm)", lambda n: n > 0)


def checked_roi_size(values: Any) -> list[int]:
    """Check a number of voxels along each axis.

    Raises:
        ValueError: it is not three whole numbers of at least 1.

    Example:
        >>> checked_roi_size((168, 168, 64.0))
        [168, 168, 64]
    """
    expected = "whole numbers of at least 1"
    return [int(n) for n in _checked("roi_size", values, 3, expected, lambda n: n >= 1 and float(n).is_integer())]


def checked_hu_window(values: Any) -> tuple[float, float]:
    """Check the HU that become 0 and 1.

    Raises:
        ValueError: it is not two numbers, the lower one first.

    Example:
        >>> checked_hu_window([-175, 275])
        (-175.0, 275.0)
    """
    low, high = _checked("hu_window", values, 2, "numbers (HU), the lower one first", lambda _: True)
    if not low < high:
        raise ValueError(f"hu_window is {values!r}, expected 2 numbers (HU), the lower one first")
    return low, high


def checked_body_part_scores(values: Any) -> tuple[float, float]:
    """Check the slice scores of the uppermost and of the lowest slice that are kept.

    Raises:
        ValueError: it is not two numbers, the upper end of the body, which has the lower score, first.

    Example:
        >>> checked_body_part_scores([-6, 6])
        (-6.0, 6.0)
    """
    expected = "numbers, the upper end of the body first, as -6, 6"
    top, bottom = _checked("body_part_scores", values, 2, expected, lambda _: True)
    if not top < bottom:
        raise ValueError(f"body_part_scores is {values!r}, expected 2 {expected}")
    return top, bottom


def _checked(name: str, values: Any, count: int, expected: str, is_good: Callable[[float], bool]) -> list[float]:
    if (
        not isinstance(values, list | tuple)
        or len(values) != count
        or not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in values)
        or not all(is_good(n) for n in values)
    ):
        raise ValueError(f"{name} is {values!r}, expected {count} {expected}")
    return [float(number) for number in values]
