"""Montages of a folder of segmentations, for people to code."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai.transforms import Compose, SelectItemsd
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from custom_components.anatomy import LabelSet
from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable
from custom_components.data.fingerprint import FINGERPRINT
from custom_components.data.montage_png import montage_png_path
from custom_components.data.qa_inference import MADE_FROM, find_montage_cases, skip_finished
from custom_components.data.set_aside import ERROR, LOAD_SECONDS, SKIPPED, SetAsideDataset, is_dead_worker
from custom_components.engines import OK, SET_ASIDE
from custom_components.grid_settings import checked_hu_window, checked_pixdim, checked_roi_size
from custom_components.preprocessing import qa_preprocessing
from custom_components.transforms.montaged import SaveMontaged

TABLE = "montages.csv"
COLUMNS = [CASE_ID, "montage", "status", "reason", "seconds", MADE_FROM]

logger = logging.getLogger(__name__)


class MontageRun(NamedTuple):
    """How many cases came to which end (`ok`, `skipped`, `set_aside`), and the table that tells it of each."""

    counts: Counter[str]
    table: Path


def write_montages(
    images: str | Path,
    segmentations: str | Path,
    output_dir: str | Path,
    *,
    label_set: LabelSet = "abdomen12",
    pixdim: Sequence[float] = (2.0, 2.0, 6.0),
    roi_size: Sequence[int] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    workers: int | None = None,
    overwrite: bool = False,
) -> MontageRun:
    """Write the montage of every case at full size, `<output_dir>/<case_id>.png`, and `montages.csv`.

    A case that cannot be done is set aside with its reason; finished ones are skipped as long as their files and the
    settings are the same.

    Args:
        images: folder of CTs, see `custom_components.data.cases.find_cases`.
        segmentations: folder of `<case>/<case>_seg.nii.gz`, or `<case>` with the suffix of a volume.
        output_dir: where to; made if missing.
        label_set: how the segmentations are numbered.
        pixdim: voxel size in mm, see `qa_preprocessing`.
        roi_size: voxels of a slice, and the number of slices.
        hu_window: HU shown as black and white.
        workers: processes; default one for each processor.
        overwrite: do finished cases again.

    Raises:
        ValueError: a folder is missing or empty, the label set is unknown, or a setting has another form.
        OSError: the output cannot be written.
    """
    output_dir = Path(output_dir)
    table = CaseTable(output_dir / TABLE, COLUMNS)
    settings = [checked_pixdim(pixdim), checked_roi_size(roi_size), checked_hu_window(hu_window)]
    cases = find_montage_cases(images, segmentations, label_set=label_set, made_with=settings)
    if not overwrite:
        cases = skip_finished(cases, table.read(), output_dir)
    transform = Compose(
        [
            qa_preprocessing(pixdim=pixdim, roi_size=roi_size, hu_window=hu_window),
            SaveMontaged(output_dir),
            SelectItemsd([CASE_ID]),
        ]
    )
    workers = os.cpu_count() or 1 if workers is None else workers
    loader = DataLoader(SetAsideDataset(cases, transform), batch_size=None, num_workers=min(workers, len(cases)))
    counts: Counter[str] = Counter()
    table.start()
    try:
        with logging_redirect_tqdm():
            for case, item in zip(cases, tqdm(loader, desc="montages", unit="case"), strict=True):
                counts[_note(table, case, item)] += 1
    except RuntimeError as error:
        if not is_dead_worker(error):
            raise
        raise SystemExit(
            f"error: a process that draws montages was killed, probably for lack of memory; {sum(counts.values())} of "
            f"{len(cases)} cases were done before, and what is written of them is kept: run again with --workers 1 or "
            "with more memory"
        ) from None
    finally:
        table.finish()
    return MontageRun(counts, table.path)


def _note(table: CaseTable, case: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    """Write down what became of a case; return its status."""
    status = SKIPPED if SKIPPED in item else SET_ASIDE if ERROR in item else OK
    if status == SKIPPED:
        return status
    png = montage_png_path(table.path.parent, case[CASE_ID])
    if status == SET_ASIDE:
        logger.warning("%s: set aside: %s", case[CASE_ID], item[ERROR])
        png.unlink(missing_ok=True)  # an earlier run may have drawn another segmentation
    table.add(
        {
            CASE_ID: case[CASE_ID],
            "montage": png.name if status == OK else "",
            "status": status,
            "reason": item.get(ERROR, ""),
            "seconds": f"{float(item.get(LOAD_SECONDS, 0)):.3f}",
            MADE_FROM: case.get(FINGERPRINT, ""),
        }
    )
    return status
