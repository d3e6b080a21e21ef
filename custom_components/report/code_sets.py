"""The codes of one set of segmentations, one for each case, and two sets case by case; nothing is left out silently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import volume_files
from custom_components.data.code_checks import check_cases, merge_duplicates
from custom_components.data.code_problems import Problem
from custom_components.data.codes import read_codes
from custom_components.data.consensus import consensus
from custom_components.data.score_files import read_scores

UNRATED, CHANGED, SEVERAL, REJECTED, ABSENT = (
    "unrated",
    "segmentation changed since it was rated",
    "several rated segmentations",
    "row rejected",
    "in the other set only",
)
"""Why a case has no code that can be compared."""


@dataclass(frozen=True)
class CodeSet:
    """The codes of one set of segmentations.

    Attributes:
        name: what the set is called in the report.
        file: name of the CSV, without its folder.
        codes: code of each case that has exactly one.
        without_code: for each other case of the file or the folder, why it has none.
        without_file: rated cases whose segmentation is not in the folder; their codes count.
        not_checked: rated cases whose segmentation is in the folder and whose rating does not tell which file it is of;
            their codes count.
        problems: of rows of the CSV.
        scores: QA score of each case, if there are any.
    """

    name: str
    file: str
    codes: Mapping[str, int]
    without_code: Mapping[str, str]
    without_file: tuple[str, ...]
    not_checked: tuple[str, ...]
    problems: tuple[Problem, ...]
    scores: Mapping[str, float]


class Matched(NamedTuple):
    """Two sets case by case.

    Attributes:
        cases: of the cases that both sets have a code of: `before, after, score_before, score_after` (nan without a
            score), with the case id as index, sorted.
        left_out: the other cases by the reason, `before: ...` or `after: ...`; a case may have two.
    """

    cases: pd.DataFrame
    left_out: dict[str, list[str]]


def read_code_set(
    path: str | Path, *, name: str, segmentations: str | Path | None = None, scores: str | Path | None = None
) -> CodeSet:
    """Read the codes of one set; of several raters of a segmentation the most frequent code counts, or the worse one.

    Args:
        path: CSV or text of codes, see `custom_components.data.codes.read_codes`.
        name: what the set is called.
        segmentations: their folder. A rating with the sha256 of another file does not count; a segmentation without a
            rating is unrated.
        scores: CSV of QA scores, see `custom_components.data.score_files.read_scores`.

    Raises:
        ValueError: a file cannot be read, or the folder holds no segmentations.
    """
    table, problems = read_codes(path)
    files = volume_files(segmentations) if segmentations else {}
    untold = set(table.loc[(table["segmentation_sha256"] == "") & table["code"].notna(), CASE_ID])
    if segmentations:
        # a rating whose segmentation is not there is kept: nothing speaks against it
        has_file = table[CASE_ID].isin(list(files))
        checked = check_cases(table[has_file], segmentations=segmentations)
        table = table[~has_file | table.index.isin(checked.table.index)]
        problems = [*problems, *checked.problems]
    merged = merge_duplicates(table)
    problems = sorted([*problems, *merged.problems], key=lambda problem: problem.line)
    codes, without_code = _one_code_each(consensus(merged.table) if len(merged.table) else merged.table)
    for problem in problems:
        if problem.action == "rejected" and problem.case_id and problem.case_id not in codes:
            case_id = shown_case_id(problem.case_id)
            if without_code.get(case_id, UNRATED) == UNRATED:
                without_code[case_id] = CHANGED if problem.field == "segmentation_sha256" else REJECTED
    without_code |= dict.fromkeys(files.keys() - codes.keys() - without_code.keys(), UNRATED)
    return CodeSet(
        name,
        Path(path).name,
        codes,
        without_code,
        tuple(sorted(codes.keys() - files.keys())) if segmentations else (),
        tuple(sorted(codes.keys() & files.keys() & untold)),
        tuple(problems),
        read_scores(scores) if scores else {},
    )


def match(before: CodeSet, after: CodeSet) -> Matched:
    """Put two sets side by side, and say of every case that is not in both why.

    Raises:
        ValueError: no case has a code in both.
    """
    both = sorted(before.codes.keys() & after.codes.keys())
    if not both:
        counts = [f"{one.file} has {len(one.codes)} rated cases" for one in (before, after)]
        raise ValueError(f"{', '.join(counts)}, none of them is in both: expected at least one")
    cases = pd.DataFrame(
        {
            "before": [before.codes[case] for case in both],
            "after": [after.codes[case] for case in both],
            "score_before": [before.scores.get(case, float("nan")) for case in both],
            "score_after": [after.scores.get(case, float("nan")) for case in both],
        },
        index=pd.Index(both, name=CASE_ID, dtype=object),
    )
    left_out: dict[str, list[str]] = defaultdict(list)
    sets = (("before", before), ("after", after))
    for case in sorted({case for _, one in sets for case in (*one.codes, *one.without_code)} - set(both)):
        for side, one in sets:
            if case not in one.codes:
                left_out[f"{side}: {one.without_code.get(case, ABSENT)}"].append(case)
    return Matched(cases, dict(left_out))


def shown_case_id(case_id: str) -> str:
    """What may be shown of a case id that was rejected: no folders of the system that it comes from.

    Example:
        >>> shown_case_id("/archive/clinic/a.nii"), shown_case_id("a")
        ('a.nii', 'a')
    """
    return PurePath(case_id.replace("\\", "/")).name or case_id


def _one_code_each(table: pd.DataFrame) -> tuple[dict[str, int], dict[str, str]]:
    """The code of each case, or why it has none."""
    codes: dict[str, int] = {}
    without: dict[str, str] = {}
    for case_id, group in table.groupby(CASE_ID, sort=True):
        rated = group["code"].dropna()
        if len(rated) == 1:
            codes[str(case_id)] = int(rated.iloc[0])
        else:
            without[str(case_id)] = SEVERAL if len(rated) else UNRATED
    return codes, without
