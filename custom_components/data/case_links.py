"""Names for the images of cases: links to files and DICOM series, in a folder that any inference can search."""

from __future__ import annotations

import os
import re
from pathlib import Path

from custom_components.case_ids import CASE_ID, VOLUME_SUFFIXES
from custom_components.data.cases import Case
from custom_components.data.dicom import list_series
from custom_components.files import partial_path

SERIES = "series"
"""Folder of links to the slices of each of several series that lie in one DICOM folder."""

_DATA_FILE = re.compile(rb"^ElementDataFile\s*=\s*(\S.*?)\s*$", re.MULTILINE)


def link_case(case: Case, folder: Path) -> Path:
    """Give the image of a case the name of the case.

    Args:
        case: as `custom_components.data.cases.read_datalist` gives it, without `error`.
        folder: where the link goes; made if absent. A link that is there already is replaced.

    Returns:
        `<folder>/<case id>` with the suffix of the volume; or that folder, with links to the slices of the DICOM
        series, or to a MetaImage header and its data, `<case id>.mhd` in it.

    Raises:
        OSError: a file cannot be read or a link not made.
        ValueError: a folder holds no CT series.
    """
    image, case_id = case["image"], str(case[CASE_ID])
    if isinstance(image, str) and Path(image).is_file():
        source = Path(image)
        suffix = next((end for end in VOLUME_SUFFIXES if source.name.lower().endswith(end)), "")
        link, data = folder / f"{case_id}{suffix}", _data_file(source)
        if data is None:
            return _link(source, link)
        _link(source, folder / case_id / link.name)  # not beside those of others: their data may have the same name
        _link(data, folder / case_id / data.relative_to(os.path.normpath(source.parent)))
        return folder / case_id / link.name
    for file in map(Path, list_series(image)[0].files if isinstance(image, str) else image):
        _link(file, folder / case_id / file.name)
    return folder / case_id


def _data_file(header: Path) -> Path | None:
    """The file beside a MetaImage header, or in a folder there, that holds its voxels, if it is one."""
    found = _DATA_FILE.search(header.read_bytes()) if header.suffix.lower() == ".mhd" else None
    if found is None:
        return None
    data = Path(os.path.normpath(header.parent / found[1].decode(errors="replace")))
    return data if data.is_relative_to(os.path.normpath(header.parent)) and data.is_file() else None


def _link(file: Path, link: Path) -> Path:
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(link)
    partial.unlink(missing_ok=True)
    partial.symlink_to(os.path.relpath(file.resolve(), link.parent.resolve()))
    partial.replace(link)
    return link
