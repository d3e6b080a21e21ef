"""Predict QA codes from what was measured of coded segmentations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from custom_components.case_ids import CASE_ID
from custom_components.data.codes import load_codes
from custom_components.learning.measurements import COLUMNS
from custom_components.options import words
from custom_components.user_errors import exit_on_user_error

MEASUREMENTS = "measurements.csv"
"""File of a folder of segmentations: case id and a column for each measure."""

LEAST_CODED = 20
"""Fewer coded segmentations say too little."""

ABSENT = -1.0
"""For what could not be measured."""

logger = logging.getLogger(__name__)


class CodeForest:
    """Extremely randomised trees (Geurts et al. 2006) from measurements to the QA code.

    It is learnt anew from its table in a second, so that no file of weights is needed. It sees how sure and how much
    at one the networks are, which no montage shows, and so needs fewer codes than a discriminator; but it gives no
    gradient, and it knows only the networks that were measured.

    Args:
        measured: a row of `measurements.COLUMNS` for each segmentation, (N, columns); nan: could not be measured.
        codes: of each, from 0 to 2.
        seed: of the trees.

    Raises:
        ValueError: the table has another shape, or fewer than 20 rows.
    """

    def __init__(self, measured: NDArray, codes: Sequence[float], *, seed: int = 0) -> None:
        if measured.shape != (len(codes), len(COLUMNS)):
            raise ValueError(
                f"measured has shape {measured.shape}, expected {len(codes)} codes and {len(COLUMNS)} columns"
            )
        if len(codes) < LEAST_CODED:
            raise ValueError(f"{len(codes)} segmentations are measured and coded, expected {LEAST_CODED} at least")
        self._trees = ExtraTreesRegressor(500, min_samples_leaf=3, random_state=seed)
        self._trees.fit(_filled(measured), np.asarray(codes, float))

    def __call__(self, measured: NDArray) -> NDArray[np.float64]:
        """Predict the code of each row of measurements, (N,)."""
        return self._trees.predict(_filled(np.atleast_2d(measured)))


def _filled(measured: NDArray) -> NDArray[np.float64]:
    return np.nan_to_num(np.asarray(measured, float), nan=ABSENT)


@exit_on_user_error
def code_forest(segmentations: str | Sequence[str], codes: str | Sequence[str], *, seed: int = 0) -> CodeForest | None:
    """Make a forest of folders that were measured and coded; for use in configs.

    Args:
        segmentations: folders with `measurements.csv`, as an inference with `measure` leaves them; a list, or words
            with commas between them.
        codes: CSV of codes, one for each folder; those of another file than the folder's are left out.
        seed: see `CodeForest`.

    Returns:
        The forest, or None without folders.

    Raises:
        SystemExit: a file cannot be read, or there are too few coded segmentations; one line, and exit code 1.
    """
    folders, files = words(segmentations), words(codes)
    if len(folders) != len(files):
        raise ValueError(f"rated_codes has {len(files)} entries, expected {len(folders)}, one for each folder")
    if not folders:
        return None
    rows, targets = [], []
    for folder, file in zip(folders, files, strict=True):
        measured = read_measurements(Path(folder) / MEASUREMENTS)
        table, problems = load_codes(file, segmentations=folder)
        for problem in problems:
            logger.warning("%s", problem)
        found = table[table["code"].notna()].groupby(CASE_ID)["code"].mean()
        for case_id in found.index.intersection(measured.index):
            rows.append(measured.loc[case_id].to_numpy(float))
            targets.append(float(found[case_id]))
    return CodeForest(np.array(rows).reshape(-1, len(COLUMNS)), targets, seed=seed)


def read_measurements(path: str | Path) -> pd.DataFrame:
    """Read what was measured, by case id.

    Raises:
        ValueError: the file cannot be read, or lacks a column; one line.
    """
    try:
        table = pd.read_csv(path, dtype={CASE_ID: str})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no CSV"
        raise ValueError(f"{path}: {reason}; an inference with --measure true makes it") from None
    if missing := [name for name in (CASE_ID, *COLUMNS) if name not in table]:
        raise ValueError(f"{path}: column {missing[0]!r} not found, expected {CASE_ID} and {len(COLUMNS)} measures")
    return table.drop_duplicates(CASE_ID, keep="last").set_index(CASE_ID)[list(COLUMNS)]
