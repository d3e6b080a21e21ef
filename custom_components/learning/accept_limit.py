"""The QA score below which a segmentation may count as a success uncoded, from cases that have a score and a code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from custom_components.data.code_values import CODES, nearest_code

LIMITS: Sequence[float] = tuple(round(0.05 * number, 2) for number in range(-4, 21))
"""What is tried: from scores better than any code to those of acceptable errors."""


class Accepted(NamedTuple):
    """What a limit would accept.

    Attributes:
        limit: score below which a segmentation is accepted.
        counts: accepted cases of the codes 0, 1 and 2.
        share: of all cases that it would accept.
    """

    limit: float
    counts: tuple[int, ...]
    share: float


def acceptances(scores: Mapping[str, float], codes: Mapping[str, float]) -> list[Accepted]:
    """Say what each of `LIMITS` would accept.

    Args:
        scores: QA score of each case.
        codes: what people say of the same segmentation.

    Raises:
        ValueError: no case is in both.

    Example:
        >>> acceptances({"a": 0.12, "b": 0.33}, {"a": 0, "b": 1})[7]
        Accepted(limit=0.15, counts=(1, 0, 0), share=0.5)
    """
    cases = sorted(scores.keys() & codes.keys())
    if not cases:
        raise ValueError("no case has a score and a code, expected the same cases in both files")
    found = []
    for limit in LIMITS:
        accepted = [nearest_code(codes[case_id]) for case_id in cases if scores[case_id] < limit]
        found.append(Accepted(limit, tuple(accepted.count(code) for code in CODES), len(accepted) / len(cases)))
    return found


def best_acceptance(found: Sequence[Accepted], successes: float) -> Accepted | None:
    """Give the highest limit at which at least this share of what is accepted was coded 0; None if there is none.

    Example:
        >>> found = [Accepted(0.1, (9, 0, 0), 0.3), Accepted(0.2, (19, 1, 0), 0.6), Accepted(0.3, (20, 9, 1), 1.0)]
        >>> best_acceptance(found, 0.95).limit
        0.2
    """
    good = [one for one in found if sum(one.counts) and one.counts[0] >= successes * sum(one.counts)]
    return max(good, default=None)
