"""How well a body-part regressor finds its way in CTs, as a table and as pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from custom_components.anatomy import JUDGED_ORGANS
from custom_components.body_part.findings import check_body_part
from custom_components.body_part.landmarks import LANDMARKS
from custom_components.body_part.plot import draw_body_part
from custom_components.body_part.regressor import BodyPart, BodyPartRegressor
from custom_components.body_part.slices import AxialSlices
from custom_components.case_ids import CASE_ID
from custom_components.data.layout import ERROR
from custom_components.files import complete_file
from custom_components.user_errors import exit_on_user_error

TABLE = "body_part.csv"

logger = logging.getLogger(__name__)


@exit_on_user_error
def evaluate_body_part(
    path: str | Path,
    cases: Iterable[Mapping[str, Any]],
    output_dir: str | Path,
    *,
    scores: Sequence[float] = (-6.0, 6.0),
    grid_mm: float = 384.0,
    pictures: int = 12,
) -> pd.DataFrame:
    """Measure calibrated weights on CTs, write `body_part.csv` and pictures, and log a summary; for use in configs.

    Args:
        path: of the weights.
        cases: as `body_part_preprocessing` returns them; landmarks and organs may be absent. One with an `error` has a
            row with the reason.
        output_dir: where to; made if missing.
        scores: of the uppermost and of the lowest slice that are kept.
        grid_mm: height of the networks' grid, in the middle of these slices.
        pictures: how many of the cases get one, `<case_id>.png`.

    Returns:
        The table, a row a case; see `evaluate_case` for its columns.

    Raises:
        SystemExit: the weights cannot be used, or (at the end) a case could not be loaded; one line, and exit code 1.
    """
    regressor, rows = BodyPartRegressor.load(path), []
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    for number, case in enumerate(cases):
        if ERROR in case:
            rows.append({CASE_ID: case[CASE_ID], "finding": case[ERROR], "slices": 0})
            continue
        found = regressor.of_slices(slices_of(case))
        rows.append({CASE_ID: case[CASE_ID], **evaluate_case(found, case, regressor.slope, scores, grid_mm)})
        if number < pictures:
            figure = draw_body_part(found, scores, landmarks=case.get("landmarks"))
            with complete_file(Path(output_dir) / f"{case[CASE_ID]}.png") as partial:
                figure.savefig(partial, format="png")
    table = pd.DataFrame(rows)
    with complete_file(Path(output_dir) / TABLE) as partial:
        table.to_csv(partial, index=False, float_format="%.4g")
    measured = table[table["slices"] > 0]
    if len(measured):
        logger.info("%s\nsee %s", summary(measured, regressor.slope), Path(output_dir) / TABLE)
    if bad := len(table) - len(measured):
        raise ValueError(f"{bad} of {len(table)} cases set aside; see {Path(output_dir) / TABLE}")
    return table


def slices_of(case: Mapping[str, Any]) -> AxialSlices:
    """The slices of a case as `body_part_preprocessing` returns it."""
    return AxialSlices(torch.as_tensor(case["image"]).float() / 255, np.asarray(case["height"], dtype=float))


def evaluate_case(
    found: BodyPart, case: Mapping[str, Any], slope: float, scores: Sequence[float], grid_mm: float
) -> dict[str, Any]:
    """Measure one case.

    Args:
        found: in it.
        case: with `landmarks` and `organs` in mm, or without.
        slope: usual change of the score in mm upwards.
        scores: range that is kept.
        grid_mm: height of the networks' grid.

    Returns:
        `slices`; `slope`, as part of the usual one; `inliers`; `residual` and `rising` (share of the slices that are
        higher than the one before) of the scores; `mirrored`; the score at each landmark; `error_mm` at the landmarks
        that have a score; `organs` of liver, spleen and kidneys that the scan holds whole, and `kept` of them; and
        `finding`, why the crop refuses the case.
    """
    line = found.line
    marks = case.get("landmarks") or {}
    at = {name: float(line.at(marks[name])) for name in LANDMARKS if name in marks}
    fixed = {name: landmark.score for name, landmark in LANDMARKS.items() if landmark.score is not None}
    errors = [abs(at[name] - score) / abs(slope) for name, score in fixed.items() if name in at]
    spans = [span for name, span in (case.get("organs") or {}).items() if name in JUDGED_ORGANS]
    low, high = kept_mm(found, scores, grid_mm)
    kept = [span for span in spans if low <= span[0] and span[1] <= high]
    return {
        "slices": len(found.scores),
        "slope": line.slope / slope,
        "inliers": line.inliers,
        "residual": line.residual,
        "rising": float((np.diff(found.scores) < 0).mean()),
        "mirrored": found.mirrored,
        **at,
        "error_mm": float(np.mean(errors)) if errors else np.nan,
        "organs": len(spans),
        "kept": len(kept),
        "finding": _finding(found, slope, scores),
    }


def kept_mm(found: BodyPart, scores: Sequence[float], grid_mm: float) -> tuple[float, float]:
    """Lowest and highest mm above the first slice that the networks see: of the crop, what their grid holds."""
    low, high = sorted(found.line.height_of(score) for score in scores)
    beyond = max(high - low - grid_mm, 0) / 2
    return low + beyond, high - beyond


def _finding(found: BodyPart, slope: float, scores: Sequence[float]) -> str:
    try:
        check_body_part(found, slope, scores)
    except ValueError as error:
        return str(error)
    return ""


def summary(table: pd.DataFrame, slope: float) -> str:
    """The figures of all cases in a few lines."""
    lines = [f"{len(table)} cases, of which the crop refuses {int((table['finding'] != '').sum())}"]
    if table["error_mm"].notna().any():
        error = table["error_mm"].dropna()
        lines.append(
            f"error at landmarks: mean {error.mean():.1f} mm ({error.mean() * abs(slope):.2f} of a score), "
            f"95th percentile of the cases {np.percentile(error, 95):.1f} mm"
        )
    for name in LANDMARKS:
        if name in table:
            score = table[name].dropna()
            lines.append(f"{name}: {score.median():.2f} (sd {score.std():.2f}, {len(score)} cases)")
    if organs := int(table["organs"].sum()):
        whole = table[table["organs"] > 0]
        lines.append(
            f"liver, kidneys and spleen that lie whole in their scan: {int(table['kept'].sum())} of {organs} whole in "
            f"what networks see, all of a case in {int((whole['kept'] == whole['organs']).sum())} of {len(whole)}"
        )
    return "\n".join(lines)
