"""Keep `summary.csv` of an inference run: what became of each case, and its organ volumes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from ignite.engine import Engine
from monai.data import MetaTensor

from custom_components.anatomy import NUM_CLASSES, ORGANS
from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable, Row
from custom_components.data.layout import SKIPPED, dicom_seg_path, segmentation_path
from custom_components.data.share import Share
from custom_components.engines import OK, SET_ASIDE, CaseResult
from custom_components.handlers.case_report import CaseReport
from custom_components.handlers.dicom_segmentations import DicomSegmentations
from custom_components.handlers.segmentation_score import SCORE_COLUMNS, SegmentationScore

VOLUMES = [f"{organ.name}_ml" for organ in ORGANS]
COLUMNS = [CASE_ID, "status", "reason", "seconds", *VOLUMES, *SCORE_COLUMNS]

logger = logging.getLogger(__name__)


class SegmentationSummary(CaseReport):
    """Write a row for every case of a `CaseEvaluator` to `<output_dir>/summary.csv`.

    Columns: `case_id`; `status` (`ok`, `set_aside`, or `skipped` because it was finished before); `reason`;
    `seconds`; the volume of each organ in ml; `score`, `code`, `low`, `high` and `discriminator_sha256`, empty unless a
    `SegmentationScore` stands before it among the handlers. A row is appended as soon as its case is done, so a killed
    run loses none. A run on the same folder keeps the rows of earlier runs: a skipped case keeps its seconds and
    volumes (counted from its file if a killed run left no row), and its score unless that is of another discriminator
    than this run's. At the end the rows are sorted by case id.

    Args:
        output_dir: where the segmentations lie.
        overwrite: whether finished cases are done again; then a case that is set aside keeps no segmentation of an
            earlier run.
        score: scores skipped cases; without it they keep the score that they have.
        dicom_seg: writes the DICOM SEG of what was segmented, and of skipped cases that have none.
        pred_key: key of the label map `(1, X, Y, Z)` in the engine's output.
        share: which of several processes this is; the table is that of all.

    Example (in a config)::

        summary:
          _target_: custom_components.handlers.segmentation_summary.SegmentationSummary
          output_dir: "@output_dir"
        run: ["$@evaluator.run()", "$@summary.raise_for_set_aside()"]
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        overwrite: bool = False,
        score: SegmentationScore | None = None,
        dicom_seg: DicomSegmentations | None = None,
        pred_key: str = "pred",
        share: Share | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.overwrite = overwrite
        self.score = score
        self.dicom_seg = dicom_seg
        self.pred_key = pred_key
        super().__init__(CaseTable(self.output_dir / "summary.csv", COLUMNS, share), done="segmented")

    def _append(self, engine: Engine) -> None:
        case: CaseResult = engine.state.case  # type: ignore[attr-defined]
        row = {
            CASE_ID: case.case_id,
            "status": case.status,
            "reason": case.reason,
            "seconds": f"{case.seconds:.2f}",
        }
        if case.status == OK:
            row |= _volumes(engine.state.output[0][self.pred_key])  # type: ignore[index]
            row |= getattr(engine.state, "qa_score", {})
            self._write_dicom_seg(row, is_new=True)
        elif case.status == SKIPPED:
            row |= self._earlier(case.case_id)
            if row["status"] == SKIPPED:
                if self.score is not None:
                    row |= self.score.of_finished(case.case_id, row, engine.state.device)  # type: ignore[attr-defined]
                self._write_dicom_seg(row, is_new=False)
        elif self.overwrite:
            self._remove_earlier(case.case_id)
        if row["status"] == SET_ASIDE and case.status != SET_ASIDE:  # of the others the evaluator has told
            logger.warning(f"{case.case_id}: set aside: {row['reason']}")
        self._counts[row["status"]] += 1
        self._table.add(row)
        done, total = self._counts.total(), engine.state.epoch_length
        logger.info(f"[{done}/{total}] {case.case_id}: {row['status']} ({case.seconds:.1f} s)")

    def _write_dicom_seg(self, row: Row, *, is_new: bool) -> None:
        """Write the DICOM SEG if asked, and note why it cannot be; else none of an older segmentation stays."""
        if self.dicom_seg is None:
            if is_new:
                self._remove(dicom_seg_path(self.output_dir, row[CASE_ID]), row[CASE_ID])
        elif fault := self.dicom_seg.write(row[CASE_ID], is_new=is_new):
            reasons = [row["reason"], fault] if row["status"] == SET_ASIDE else [fault]
            row |= {"status": SET_ASIDE, "reason": "; ".join(reasons)}

    def _remove_earlier(self, case_id: str) -> None:
        for path_of in (dicom_seg_path, segmentation_path):
            self._remove(path_of(self.output_dir, case_id), case_id)

    def _remove(self, path: Path, case_id: str) -> None:
        try:
            if path.is_file():
                path.unlink()
        except OSError as error:  # the run goes on
            logger.warning(f"{case_id}: the segmentation of an earlier run cannot be removed: {error.strerror}")

    def _finish(self) -> None:
        super()._finish()
        if self.dicom_seg is not None:
            self.dicom_seg.finish()

    def _earlier(self, case_id: str) -> Row:
        """Seconds, volumes and score of a case that was finished before."""
        row = self._table.rows.get(case_id, {})
        if all(row.get(name) for name in VOLUMES):
            return {name: row.get(name, "") for name in ("seconds", *VOLUMES, *SCORE_COLUMNS)}
        try:
            image = nib.load(segmentation_path(self.output_dir, case_id))
            labels = torch.as_tensor(np.asarray(image.dataobj))  # type: ignore[attr-defined]
            volumes = _volumes(MetaTensor(labels, affine=torch.as_tensor(image.affine)))  # type: ignore[attr-defined]
        except Exception as error:  # a file may be damaged in many ways
            why = f"its segmentation of an earlier run cannot be read ({type(error).__name__}): delete it, or overwrite"
            return {"status": SET_ASIDE, "reason": why}
        return {"seconds": "", **volumes}


def _volumes(labels: Any) -> Row:
    """Millilitres of each organ in a label map with an affine in mm."""
    voxel = abs(float(torch.linalg.det(torch.as_tensor(labels.affine[:3, :3], dtype=torch.float64)))) / 1000
    counts = torch.bincount(labels.as_tensor().flatten(), minlength=NUM_CLASSES).tolist()
    return {name: f"{counts[organ.index] * voxel:.2f}" for name, organ in zip(VOLUMES, ORGANS, strict=True)}
