"""Which rated segmentations a training draws how often."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from custom_components.data.code_values import nearest_code

FOOLED = 0.5
"""A discriminator was fooled by a segmentation whose score is better than its code by this or more."""


def code_weights(cases: Sequence[Mapping[str, Any]], fooled_weight: float = 1.0) -> list[float]:
    """Give each case the weight with which every code that occurs is drawn equally often (Lee et al. 2020).

    Args:
        cases: with a `code`; a soft code counts as the nearest one; perhaps with the `score` that it had.
        fooled_weight: how much oftener a segmentation that fooled its discriminator is drawn than others of its code.

    Returns:
        Weights that sum to 1.

    Example:
        >>> code_weights([{"code": 0}, {"code": 0}, {"code": 2}])
        [0.25, 0.25, 0.5]
        >>> code_weights([{"code": 2, "score": 1.9}, {"code": 2, "score": 0.3}], fooled_weight=3)
        [0.25, 0.75]
    """
    codes = [nearest_code(case["code"]) for case in cases]
    shares = [fooled_weight if case["code"] - case.get("score", math.inf) >= FOOLED else 1.0 for case in cases]
    totals: defaultdict[int, float] = defaultdict(float)
    for code, share in zip(codes, shares, strict=True):
        totals[code] += share
    return [share / (len(totals) * totals[code]) for code, share in zip(codes, shares, strict=True)]
