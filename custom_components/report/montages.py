"""Montages of a folder of segmentations, for people to code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from monai.transforms import Compose, SelectItemsd

from custom_components.anatomy import LabelSet
from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable
from custom_components.data.draw_cases import draw_cases
from custom_components.data.layout import COLUMNS, montage_png_path
from custom_components.data.qa_inference import find_montage_cases, skip_finished
from custom_components.grid_settings import checked_hu_window, checked_pixdim, checked_roi_size
from custom_components.preprocessing import qa_preprocessing
from custom_components.transforms.montaged import SaveMontaged

TABLE = "montages.csv"


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
    body_part: BodyPartCrop | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> MontageRun:
    """Write the montage of every case at full size, `<output_dir>/<case_id>.png`, and `montages.csv`.

    A case that cannot be done is set aside with its reason; finished ones are skipped as long as their files and the
    settings are the same.

    Args:
        images: folder of CTs, or a list of them, see `custom_components.data.case_files.image_files`.
        segmentations: folder of `<case>/<case>_seg.nii.gz`, or `<case>` with the suffix of a volume.
        output_dir: where to; made if missing.
        label_set: how the segmentations are numbered.
        pixdim: voxel size in mm, see `qa_preprocessing`.
        roi_size: voxels of a slice, and the number of slices.
        hu_window: HU shown as black and white.
        body_part: the slices that are kept, see `qa_preprocessing`.
        workers: processes; default one for each processor.
        overwrite: do finished cases again.

    Raises:
        ValueError: a folder is missing or empty, the label set is unknown, or a setting has another form.
        OSError: the output cannot be written.
    """
    output_dir = Path(output_dir)
    table = CaseTable(output_dir / TABLE, COLUMNS)
    settings = [checked_pixdim(pixdim), checked_roi_size(roi_size), checked_hu_window(hu_window)]
    made_with = [*settings, *([str(body_part)] if body_part else [])]
    cases = find_montage_cases(images, segmentations, label_set=label_set, made_with=made_with)
    if not overwrite:
        cases = skip_finished(cases, table.read(), output_dir)
    transform = Compose(
        [
            qa_preprocessing(pixdim=pixdim, roi_size=roi_size, hu_window=hu_window, body_part=body_part),
            SaveMontaged(output_dir),
            SelectItemsd([CASE_ID]),
        ]
    )
    counts = draw_cases(
        cases, transform, table, files_of=lambda case: [montage_png_path(output_dir, case)], workers=workers
    )
    return MontageRun(counts, table.path)
