"""Read the QA scores that a scoring run left."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from custom_components.case_ids import CASE_ID

SCORE, FIRST_SCORE = "score", "first_score"


def read_scores(path: str | Path, column: str = SCORE) -> dict[str, float]:
    """Read the score of each case from a CSV with the columns `case_id` and `score`, such as `qa_scores.csv`.

    A case without a score, because it was set aside, is left out.

    Args:
        path: the CSV.
        column: another one of scores, such as `first_score` of an inference with candidates.

    Raises:
        ValueError: the file cannot be read, lacks a column or all scores, holds a score that is no number, or two of
            one case; one line that says which.
    """
    rows = _rows(path, column)
    scores: dict[str, float] = {}
    for line, row in enumerate(rows, start=2):
        case_id, cell = row[CASE_ID], (row[column] or "").strip()
        if not cell:
            continue
        if case_id in scores:
            raise ValueError(f"{path}, line {line}: case_id {case_id!r} is there twice, expected once")
        scores[case_id] = _number(cell, f"{path}, line {line}: case_id {case_id!r}")
    if not scores:
        raise ValueError(f"{path}: no case has a {column}, expected at least one")
    return scores


def taken_candidates(path: str | Path) -> dict[str, str]:
    """Read which candidate an inference took, of the cases where it was not the network's own first segmentation.

    Args:
        path: its `summary.csv`, with the column `candidate`.

    Raises:
        ValueError: the file cannot be read or lacks a column.
    """
    return {row[CASE_ID]: row["candidate"] for row in _rows(path, "candidate") if row["candidate"] not in ("", "first")}


def _rows(path: str | Path, column: str) -> list[dict[str, str]]:
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'no CSV in UTF-8'}") from None
    found = ", ".join(map(str, rows[0])) if rows else "none"
    for name in (CASE_ID, column):
        if not rows or name not in rows[0]:
            raise ValueError(f"{path}: columns are {found}, expected {CASE_ID} and {column}")
    return rows


def _number(cell: str, where: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: score is {cell!r}, expected a finite number")
    return number
