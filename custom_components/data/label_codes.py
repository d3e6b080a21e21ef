"""The codes of label maps that are there now, for who keeps them elsewhere than in a folder of this project."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.code_problems import problem_of
from custom_components.data.codes import load_codes
from custom_components.data.consensus import consensus

logger = logging.getLogger(__name__)


def codes_of_labels(path: str | Path, labels: Mapping[str, str | Path]) -> dict[str, int]:
    """Give each label map the code of all its raters; the log has a line for each rating that does not count, and why.

    A rating counts that names no segmentation, or by its sha256 the one that is there now.

    Args:
        path: file of codes, see `custom_components.data.codes.read_codes`.
        labels: label maps by case id.

    Returns:
        Codes by case id, without cases that nobody has rated.

    Raises:
        ValueError: the file cannot be read as codes.
    """
    table, problems = load_codes(path, segmentations={case_id: [Path(file)] for case_id, file in labels.items()})
    codes: dict[str, int] = {}
    for case_id, found in consensus(table.dropna(subset="code")).groupby(CASE_ID):
        counts = _of_label(found)
        codes |= {str(case_id): int(code) for code in counts["code"]}
        others = found.drop(counts.index)
        problems += [
            problem_of(place, row, "model", row["model"], "that of the label", "rejected")
            for place, row in zip(others.index, others.to_dict("records"), strict=True)
        ]
    for problem in problems:
        logger.warning("%s", problem)
    return codes


def _of_label(found: pd.DataFrame) -> pd.DataFrame:
    """Of a case's segmentations the one that is named by its sha256, or else the only one."""
    named = found[found["segmentation_sha256"] != ""]
    return named if len(named) else found if len(found) == 1 else found[:0]
