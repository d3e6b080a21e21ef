"""Names that are agreed on: keys of a case in an item, and where its files lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from custom_components.case_ids import CASE_ID

ERROR = "error"
"""Key of the reason why a case is set aside."""
SKIPPED = "skipped"
"""Key of the reason why a case is not done: it was finished before."""
SOURCE = "source"
"""Key of the name of a case's image as a person may read it: relative to the folder or list given."""
LOAD_SECONDS = "load_seconds"

OK, SET_ASIDE = "ok", "set_aside"
"""How a case ended."""

COLUMNS = [CASE_ID, "montage", "status", "reason", "seconds", "made_from"]
"""Of a table of pictures."""


def segmentation_path(output_dir: str | Path, case_id: str, postfix: str = "seg") -> Path:
    """Where the segmentation of a case lies.

    Example:
        >>> segmentation_path("out", "a").as_posix()
        'out/a/a_seg.nii.gz'
    """
    return Path(output_dir) / case_id / f"{case_id}_{postfix}.nii.gz"


def dicom_seg_path(output_dir: str | Path, case_id: str) -> Path:
    """Where the DICOM SEG of a case lies, beside its segmentation.

    Example:
        >>> dicom_seg_path("out", "a").as_posix()
        'out/a/a_seg.dcm'
    """
    return Path(output_dir) / case_id / f"{case_id}_seg.dcm"


def montage_png_path(folder: str | Path, case_id: str) -> Path:
    """Where the montage of a case lies.

    Example:
        >>> montage_png_path("montages", "a.1").as_posix()
        'montages/a.1.png'
    """
    return Path(folder) / f"{case_id}.png"


def names_apart(files: Sequence[str | Path]) -> list[str]:
    """Name files after themselves, with as many folders before the name as tell them apart.

    Raises:
        ValueError: one is given twice.
    """
    paths = [Path(os.path.abspath(path)).with_suffix("") for path in files]
    longest = max(len(path.parts) for path in paths)
    for count in range(1, longest + 1):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    twice = next(path for path, name in zip(files, names, strict=True) if names.count(name) > 1)
    raise ValueError(f"{twice}: is given twice, expected each file of codes once")
