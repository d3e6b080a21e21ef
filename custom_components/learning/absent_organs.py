"""Segmentations without an organ that people named: where it is not in the body, that is right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from custom_components.anatomy import INDEX, MAY_BE_ABSENT, NUM_CLASSES
from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import volume_files
from custom_components.data.layout import segmentation_path
from custom_components.files import complete_file
from custom_components.learning.named_organs import named_organs
from custom_components.options import check_number


def leave_out_organs(
    segmentations: str | Path,
    codes: pd.DataFrame,
    output: str | Path,
    *,
    organs: Sequence[str] = MAY_BE_ABSENT,
    largest: float = 0.75,
) -> Mapping[str, str]:
    """Write what was coded 1 or 2 again without the organ that its reason names first, if that is a small one.

    A network that never saw a body without a spleen paints one, mostly small and near its place. No limit and no other
    view of the CT takes that away. People code what is written here: where the organ is not in the body it passes, and
    that nothing is there becomes a label. See `custom_components.learning.pseudo_labels`, `by_organ`.

    Args:
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`, with our numbers.
        codes: of these, one row a rating, as `custom_components.data.codes.load_codes` gives them.
        output: folder to write `<case>/<case>_seg.nii.gz` to; it is made, and what is there already stays.
        organs: that may be absent.
        largest: share of its median in segmentations coded 0, in voxels, below which an organ is small.

    Returns:
        The organ that was left out, by case id.

    Raises:
        ValueError: the folder holds no segmentations, or a number is out of range.
    """
    check_number(largest, "largest", 0)
    paths = volume_files(segmentations)
    rated = codes[codes["code"].notna() & codes[CASE_ID].isin(list(paths))]
    limits = {name: largest * size for name, size in _median_sizes(rated, paths, organs).items()}
    left_out: dict[str, str] = {}
    Path(output).mkdir(parents=True, exist_ok=True)
    for case_id, reason in rated.loc[rated["code"] > 0, [CASE_ID, "reason"]].itertuples(index=False):
        name = _first_named("" if pd.isna(reason) else str(reason))
        if name not in limits:
            continue
        image, labels = _read(paths[case_id][-1])
        organ = labels == INDEX[name]
        if not 0 < np.count_nonzero(organ) < limits[name]:
            continue
        left_out[case_id] = name
        path = segmentation_path(output, case_id)
        if not path.is_file():
            with complete_file(path) as partial:
                nib.save(nib.Nifti1Image(np.where(organ, 0, labels), image.affine, image.header), partial)
    return left_out


def _first_named(reason: str) -> str | None:
    """The organ that stands first in a reason."""
    parts = re.split(r"[,;.]|\band\b", reason)
    return next((name for part in parts for name in sorted(named_organs(part))), None)


def _median_sizes(
    rated: pd.DataFrame, paths: Mapping[str, Sequence[Path]], organs: Sequence[str]
) -> Mapping[str, float]:
    """Median voxels of each organ in the segmentations coded 0; infinite if there are none."""
    sizes = [
        np.bincount(_read(paths[case_id][-1])[1].ravel(), minlength=NUM_CLASSES)
        for case_id in rated.loc[rated["code"] == 0, CASE_ID]
    ]
    medians = np.median(sizes, axis=0) if sizes else np.full(NUM_CLASSES, np.inf)
    return {name: float(medians[INDEX[name]]) for name in organs}


def _read(path: Path) -> tuple[nib.Nifti1Image, NDArray[np.uint8]]:
    image = cast(nib.Nifti1Image, nib.load(path))
    return image, np.asarray(image.dataobj).astype(np.uint8)
