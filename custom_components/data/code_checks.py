"""Ratings against the segmentations that there are, and against each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of, volume_files
from custom_components.data.code_problems import Action, Codes, Problem, problem_of

Segmentations = str | Path | Mapping[str, Sequence[Path]]
"""A folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`, or the files by case id."""


def check_cases(
    table: pd.DataFrame, *, known: Collection[str] | None = None, segmentations: Segmentations | None = None
) -> Codes:
    """Reject ratings of cases that are not there, and of segmentations that have changed since.

    An unrated row says nothing about a segmentation, so it is kept whichever that is.

    Args:
        table: of codes.
        known: case ids that there are.
        segmentations: see `Segmentations`.

    Raises:
        ValueError: the folder holds no segmentations.
    """
    files: Mapping[str, Sequence[Path]]
    if isinstance(segmentations, str | Path):
        files, where = volume_files(segmentations), f" in {segmentations}"
    else:
        files, where = segmentations or {}, ""
    digests: dict[Path, str] = {}
    problems, good = [], []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        case_id, digest = row[CASE_ID], row["segmentation_sha256"]
        fault = None
        if known is not None and case_id not in known:
            fault = (CASE_ID, case_id, "a case that is known")
        elif segmentations is not None and case_id not in files:
            fault = (CASE_ID, case_id, f"a case with a segmentation{where}")
        elif files and digest and not pd.isna(row["code"]):
            for path in files[case_id]:
                digests[path] = digests.get(path) or sha256_of(path)
            there = [digests[path] for path in files[case_id]]
            if digest not in there:
                expected = f"{there[0]} of {files[case_id][0].name}: it changed since, or is another model's"
                fault = ("segmentation_sha256", digest, expected)
        if fault:
            problems.append(problem_of(place, row, *fault, "rejected"))
        good.append(fault is None)
    return Codes(table[np.array(good, dtype=bool)], problems)


def merge_duplicates(table: pd.DataFrame) -> Codes:
    """Leave one rating of each rater for each segmentation (see `segmentation_keys`).

    Ratings with the same code become the one with the most cells filled in. Of several codes the last by `rated_at`
    counts, if each of the ratings has a time. Otherwise a code counts against *unrated*, and of two codes none does.
    """
    keys = list(zip(table[CASE_ID], table["rater"], segmentation_keys(table), strict=True))
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for number, key in enumerate(keys):
        groups[key].append(number)
    if len(groups) == len(table):
        return Codes(table, [])
    rows, places, times = table.to_dict("records"), list(table.index), list(rating_times(table))
    problems: list[Problem] = []
    left: list[int] = []
    for numbers in groups.values():
        if len(numbers) == 1:
            left += numbers
            continue
        ratings = [_Rating(places[number], rows[number], times[number]) for number in numbers]
        winner, reason = _winner(ratings)
        left += [number for number, rating in zip(numbers, ratings, strict=True) if rating is winner]
        problems += _duplicate_problems(ratings, winner, reason)
    return Codes(table.iloc[sorted(left)], problems)


def segmentation_keys(table: pd.DataFrame) -> pd.Series:
    """Tell the segmentations of a case apart: by their sha256, or by their model where none is given.

    A rating that names neither, or only the model, is of the one segmentation that the others of its case may mean, if
    it is only one.

    Returns:
        A text for each row of the table; only together with the case id it means something.

    Example:
        >>> segmentation_keys(pd.DataFrame({"case_id": ["a", "a", "b"], "segmentation_sha256": ["0f", "", ""],
        ...                                 "model": ["", "", "baseline"]})).tolist()
        ['0f', '0f', 'baseline']
    """
    of_case: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for case_id, digest, model in zip(table[CASE_ID], table["segmentation_sha256"], table["model"], strict=True):
        of_case[case_id].add((digest, model))

    def key(case_id: str, digest: str, model: str) -> str:
        others = [other for other in of_case[case_id] if not model or other[1] in (model, "")]
        return digest or _only({other[0] for other in others}) or model or _only({other[1] for other in others})

    columns = (table[CASE_ID], table["segmentation_sha256"], table["model"])
    return pd.Series([key(*row) for row in zip(*columns, strict=True)], index=table.index, dtype="string")


def rating_times(table: pd.DataFrame) -> pd.Series:
    """Read `rated_at` (ISO 8601; UTC where it names no zone); NaT where there is no such time."""
    return pd.to_datetime(table["rated_at"].astype(object), format="ISO8601", errors="coerce", utc=True)


def _only(texts: set[str]) -> str:
    texts = texts - {""}
    return texts.pop() if len(texts) == 1 else ""


class _Rating(NamedTuple):
    place: Any
    row: dict[Any, Any]
    time: pd.Timestamp

    @property
    def code(self) -> str:
        return "unrated" if pd.isna(self.row["code"]) else f"{self.row['code']:g}"

    @property
    def filled(self) -> int:
        return sum(not pd.isna(cell) and cell != "" for cell in self.row.values())

    def __str__(self) -> str:
        return f"{self.code} in {self.place[0]}, line {self.place[1]}"


def _winner(ratings: Sequence[_Rating]) -> tuple[_Rating | None, str]:
    """Which of a rater's ratings of one segmentation counts, and why."""
    if len({rating.code for rating in ratings}) == 1:
        return max(ratings, key=lambda rating: rating.filled), "same code"
    if not any(pd.isna(rating.time) for rating in ratings):
        latest = max(rating.time for rating in ratings)
        last = [rating for rating in ratings if rating.time == latest]
        if len({rating.code for rating in last}) == 1:
            return last[0], "rated later"
    rated = [rating for rating in ratings if rating.code != "unrated"]
    if len({rating.code for rating in rated}) == 1:
        return max(rated, key=lambda rating: rating.filled), "rated"
    return None, ""


def _duplicate_problems(ratings: Sequence[_Rating], winner: _Rating | None, reason: str) -> list[Problem]:
    problems = []
    for rating in ratings:
        if rating is winner:
            continue
        if winner is None:
            others = ", ".join(str(other) for other in ratings if other is not rating)
            expected = f"one code of a rater for a segmentation, not also {others}"
            problems.append(problem_of(rating.place, rating.row, "code", rating.code, expected, "rejected"))
            continue
        action: Action = "replaced" if reason == "rated later" and rating.code != winner.code else "merged"
        expected, detail = "no second rating of this segmentation", f"{reason}: {winner} counts"
        problems.append(problem_of(rating.place, rating.row, "code", rating.code, expected, action, detail))
    return problems
