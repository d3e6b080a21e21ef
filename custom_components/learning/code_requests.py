"""Which segmentations people should code next: the worst, the most uncertain, and a random share as an audit."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

from custom_components.case_ids import CASE_ID
from custom_components.data.code_values import CODES
from custom_components.files import complete_file
from custom_components.options import check_number

Choice = Literal["audit", "worst", "uncertain"]

UNCERTAIN = 0.4
"""Share of the chosen that is uncertain."""

LIMITS = tuple((low + high) / 2 for low, high in pairwise(CODES))
"""Scores between two codes."""


class CodeRequest(NamedTuple):
    """A case to be coded, and why it was chosen."""

    case_id: str
    choice: Choice


def write_requests(path: str | Path, requests: Iterable[CodeRequest]) -> None:
    """Write requests as a CSV with the columns `case_id` and `choice`."""
    with complete_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([CodeRequest._fields, *requests])


def read_requests(path: str | Path) -> list[CodeRequest]:
    """Read a CSV with the column `case_id`, and `choice` where it is given.

    Raises:
        ValueError: the file cannot be read, or lacks the column.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'no CSV in UTF-8'}") from None
    if CASE_ID not in (table.fieldnames or []):
        raise ValueError(f"{path}: columns are {', '.join(table.fieldnames or []) or 'none'}, expected {CASE_ID}")
    return [CodeRequest(row[CASE_ID], row.get("choice") or "worst") for row in rows]  # type: ignore[arg-type]


def request_codes(
    cases: Collection[str],
    count: int,
    *,
    scores: Mapping[str, float] | None = None,
    others: Mapping[str, float] | None = None,
    audit: float = 0.2,
    uncertain: float | None = None,
    seed: int = 0,
) -> list[CodeRequest]:
    """Choose cases to be coded.

    The audit comes first and is random among all cases, so that its codes estimate the whole cohort; then the most
    uncertain are taken, and the worst scores fill the rest. Without scores all are random.

    Args:
        cases: those that have no code yet.
        count: how many to choose; all if there are fewer, or for 0.
        scores: QA score by case.
        others: score of a second discriminator: what both disagree on is uncertain. Without it a score is the more
            uncertain the nearer it lies to a limit between two codes.
        audit: share of the chosen that is random.
        uncertain: share of the chosen that is uncertain; default `UNCERTAIN`, or what the audit leaves.
        seed: of the random choice; it depends on the seed and a case's own id alone.

    Returns:
        The chosen, audit first.

    Raises:
        ValueError: a number is out of range, or the shares are more than 1 together.

    Example:
        >>> request_codes("abc", 2, scores={"a": 0.1, "b": 1.9, "c": 0.5}, audit=0, uncertain=0.5)
        [CodeRequest(case_id='c', choice='uncertain'), CodeRequest(case_id='b', choice='worst')]
    """
    check_number(count, "count", 0, whole=True)
    check_number(audit, "audit", 0, 1)
    uncertain = min(UNCERTAIN, 1 - audit) if uncertain is None else uncertain
    check_number(uncertain, "uncertain", 0, 1 - audit)
    count = min(count or len(cases), len(cases))
    left = sorted(cases, key=lambda case_id: hashlib.sha256(f"{seed} {case_id}".encode()).digest())
    numbers = round(audit * count), round(uncertain * count)
    if not scores:
        return [CodeRequest(case_id, "audit") for case_id in left[:count]]
    chosen = [CodeRequest(case_id, "audit") for case_id in left[: numbers[0]]]
    left = [case_id for case_id in left[numbers[0] :] if case_id in scores]
    left.sort(key=lambda case_id: _certainty(scores[case_id], others.get(case_id) if others else None))
    chosen += [CodeRequest(case_id, "uncertain") for case_id in left[: numbers[1]]]
    left = sorted(left[numbers[1] :], key=lambda case_id: -scores[case_id])
    return chosen + [CodeRequest(case_id, "worst") for case_id in left[: count - len(chosen)]]


def _certainty(score: float, other: float | None) -> float:
    return min(abs(score - limit) for limit in LIMITS) if other is None else -abs(score - other)
