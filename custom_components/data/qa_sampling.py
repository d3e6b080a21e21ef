"""Which rated segmentations a training draws how often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from custom_components.data.code_values import nearest_code


def code_weights(cases: Sequence[Mapping[str, Any]]) -> list[float]:
    """Give each case the weight with which every code that occurs is drawn equally often (Lee et al. 2020).

    Args:
        cases: with a `code`; a soft code counts as the nearest one.

    Returns:
        Weights that sum to 1.

    Example:
        >>> code_weights([{"code": 0}, {"code": 0}, {"code": 2}])
        [0.25, 0.25, 0.5]
    """
    codes = [nearest_code(case["code"]) for case in cases]
    counts = Counter(codes)
    return [1 / (len(counts) * counts[code]) for code in codes]
