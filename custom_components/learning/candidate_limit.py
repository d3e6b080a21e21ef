"""The first score above which candidates are worth their time, from cases that were coded with and without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from custom_components.data.code_values import CODES, nearest_code

LIMITS: Sequence[float] = tuple(round(0.1 * number, 1) for number in range(21))
"""What is tried: from candidates for nearly every case to none for any."""


class Limit(NamedTuple):
    """What a limit would have given.

    Attributes:
        limit: first score up to which the first segmentation is kept.
        counts: cases of the codes 0, 1 and 2.
        tried: share of the cases that pay for candidates.
    """

    limit: float
    counts: tuple[int, ...]
    tried: float


def limits(
    first_scores: Mapping[str, float], first_codes: Mapping[str, float], taken_codes: Mapping[str, float]
) -> list[Limit]:
    """Say what each of `LIMITS` would have given.

    Args:
        first_scores: QA score of the network's own segmentation of each case.
        first_codes: code of that segmentation.
        taken_codes: code of what was taken among candidates, which were made for every case.

    Raises:
        ValueError: no case is in all three.

    Example:
        >>> found = limits({"a": 0.2, "b": 1.5}, {"a": 0, "b": 2}, {"a": 1, "b": 0})
        >>> found[0], found[5], found[-1].counts
        (Limit(limit=0.0, counts=(1, 1, 0), tried=1.0), Limit(limit=0.5, counts=(2, 0, 0), tried=0.5), (1, 0, 1))
    """
    cases = sorted(first_scores.keys() & first_codes.keys() & taken_codes.keys())
    if not cases:
        raise ValueError("no case has a first score and both codes, expected the same cases in all files")
    found = []
    for limit in LIMITS:
        tried = [case_id for case_id in cases if first_scores[case_id] > limit]
        codes = [nearest_code((taken_codes if case_id in tried else first_codes)[case_id]) for case_id in cases]
        found.append(Limit(limit, tuple(codes.count(code) for code in CODES), len(tried) / len(cases)))
    return found


def best_limit(found: Sequence[Limit]) -> Limit:
    """Give the limit with the fewest failures, of several the most successes, of several the highest: it costs least.

    Limits that lose successes do not count. The last of those found is where the fewest candidates are tried.

    Example:
        >>> best_limit([Limit(0.1, (5, 3, 2), 0.9), Limit(0.8, (5, 3, 2), 0.4), Limit(2.0, (5, 1, 4), 0.0)]).limit
        0.8
        >>> best_limit([Limit(0.1, (5, 3, 2), 0.9), Limit(0.8, (5, 3, 2), 0.4), Limit(2.0, (6, 1, 3), 0.0)]).limit
        2.0
    """
    held = [one for one in found if one.counts[0] >= found[-1].counts[0]]
    return min(held, key=lambda one: (one.counts[-1], -one.counts[0], -one.limit))
