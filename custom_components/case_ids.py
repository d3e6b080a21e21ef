"""What a case is called: from the name of its file, or as a list gives it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from os import PathLike
from pathlib import PurePath
from typing import Any

CASE_ID = "case_id"
"""Key of the case id in an item, and in the meta data of its images."""

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""Names of files that hold a volume end so, in whatever case of letters."""

FILENAME = "filename_or_obj"
"""Key of an image's path in its meta data: MONAI's `ImageMetaKey.FILENAME_OR_OBJ`, which takes seconds to import."""

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
"""Names of DICOM files end so, or in many other ways."""


def case_id_of(path: str | PathLike[str]) -> str:
    """Name a case after its file or folder: the name without the suffix of a volume or a DICOM file.

    Any other ending belongs to the name, so that `a.1` and `a.2` stay apart.

    Example:
        >>> [case_id_of(path) for path in ("/data/a.1.2.nii.gz", "b.NRRD", "c.dcm", "1.2.840.10008")]
        ['a.1.2', 'b', 'c', '1.2.840.10008']
    """
    name = readable(PurePath(path).name)
    for suffix in (*VOLUME_SUFFIXES, *DICOM_SUFFIXES):
        if name.lower().endswith(suffix):
            return name[: -len(suffix)] or name
    return name


def readable(name: str) -> str:
    r"""Give a name of a file as text that can be printed and written: bytes that are not UTF-8 become `�`.

    Example:
        >>> readable("M\udcfcller") == "M\ufffdller"
        True
    """
    return name.encode(errors="surrogateescape").decode(errors="replace")


def check_case_id(case_id: str) -> str:
    """Return a case id that can be the name of a folder.

    Raises:
        ValueError: it holds a slash, begins with a dot, or is empty.

    Example:
        >>> check_case_id("../a")
        Traceback (most recent call last):
        ValueError: case_id is '../a', expected a name without slashes and leading dot
    """
    if not case_id or case_id != PurePath(case_id).name or case_id.startswith("."):
        raise ValueError(f"case_id is {case_id!r}, expected a name without slashes and leading dot")
    return case_id


def case_name(data: Mapping[Hashable, Any], *keys: Hashable) -> str:
    """Name the case of an item: its `case_id`, or the name of its images as `case_id_of` has it.

    Args:
        data: an item of a datalist, with paths or loaded images.
        keys: where to look for an image, in this order.

    Example:
        >>> case_name({"label": "/data/labels/case_07.nii.gz"}, "image", "label")
        'case_07'
    """
    if CASE_ID in data:
        return str(data[CASE_ID])
    for key in keys:
        image = data.get(key)
        path = image if isinstance(image, str) else getattr(image, "meta", {}).get(FILENAME)
        if path:
            return case_id_of(str(path))
    return "without name"
