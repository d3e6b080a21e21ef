"""Write the DICOM SEG of the cases of an inference run whose images are DICOM series."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of
from custom_components.data.cases import Case
from custom_components.data.dicom_seg import Algorithm, check_highdicom, write_dicom_seg
from custom_components.data.dicom_source import dicom_files, read_source
from custom_components.data.layout import dicom_seg_path, segmentation_path
from custom_components.data.set_aside import one_line_reason
from custom_components.user_errors import exit_on_user_error

WRITTEN, THERE, NO_DICOM, FAILED = "written", "there", "no_dicom", "failed"

logger = logging.getLogger(__name__)


class DicomSegmentations:
    """Make `<case>/<case>_seg.dcm` of `<case>/<case>_seg.nii.gz` as it lies on the disk; for a `SegmentationSummary`.

    A file of an earlier run is kept as long as it is not older than the segmentation. A case whose image is no DICOM
    series has none.

    Args:
        cases: as `custom_components.data.cases.inference_cases` gives them.
        output_dir: where the segmentations lie.
        algorithm: name of what segments.
        weights: its file, whose SHA-256 is noted in what this run segments.

    Raises:
        SystemExit: highdicom is missing; one line, and exit code 1.
    """

    @exit_on_user_error
    def __init__(self, cases: Sequence[Case], output_dir: str | Path, *, algorithm: str, weights: str | Path) -> None:
        check_highdicom()
        self.output_dir = Path(output_dir)
        self.algorithm = algorithm
        self.weights = Path(weights)
        self._cases = {case[CASE_ID]: case for case in cases}
        self._counts: Counter[str] = Counter()

    @cached_property
    def _weights_sha256(self) -> str:
        return sha256_of(self.weights)

    def write(self, case_id: str, *, is_new: bool) -> str:
        """Write the file of a case that has a segmentation.

        Args:
            case_id: of the case.
            is_new: whether this run has segmented it; else it is only written if it is missing or older.

        Returns:
            Why it could not be written, in one line; or nothing.
        """
        case = self._cases[case_id]
        try:
            outcome = self._write(case, is_new)
            self._counts[outcome] += 1
            return ""
        except Exception as error:  # headers may be wrong in many ways
            self._counts[FAILED] += 1
            reason = one_line_reason(error, case) if isinstance(error, ValueError | OSError) else type(error).__name__
            return f"no DICOM SEG: {reason}"

    def _write(self, case: Case, is_new: bool) -> str:
        segmentation = segmentation_path(self.output_dir, case[CASE_ID])
        path = dicom_seg_path(self.output_dir, case[CASE_ID])
        if not is_new and path.is_file() and path.stat().st_mtime_ns >= segmentation.stat().st_mtime_ns:
            return THERE
        path.unlink(missing_ok=True)
        files = dicom_files(case["image"])
        if not files:
            return NO_DICOM
        image = nib.load(segmentation)
        labels = np.asarray(image.dataobj)  # type: ignore[attr-defined]
        algorithm = Algorithm(self.algorithm, self._weights_sha256 if is_new else "")
        write_dicom_seg(path, labels, image.affine, read_source(files), algorithm)  # type: ignore[attr-defined]
        return WRITTEN

    def finish(self) -> None:
        """Say in one line how many were written, and how many cases can have none."""
        parts = [f"{self._counts[WRITTEN]} written"]
        parts += [f"{self._counts[THERE]} there already"] if self._counts[THERE] else []
        parts += [f"{self._counts[FAILED]} failed"] if self._counts[FAILED] else []
        parts += [f"none of {self._counts[NO_DICOM]} cases that are no DICOM series"] if self._counts[NO_DICOM] else []
        logger.info(f"DICOM SEG: {', '.join(parts)}")
        self._counts.clear()
