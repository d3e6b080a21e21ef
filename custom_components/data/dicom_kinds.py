"""What a file is by its name, its first bytes and its image type; light to import."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from custom_components.case_ids import DICOM_SUFFIXES

PREAMBLE = 128
"""Bytes before the `DICM` of a DICOM file."""
LOCALISERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
"""Words of an image type that are of no volume, but of the picture on which the scan was planned."""


def is_dicom_name(name: str) -> bool:
    """Whether a file may be DICOM by its name: a usual suffix, none, or a number as in `CT.1.2.840`.

    Example:
        >>> [is_dicom_name(name) for name in ("IM0001", "a.dcm", "CT.1.2.840", "notes.txt", "DICOMDIR")]
        [True, True, True, False, False]
    """
    suffix = Path(name).suffix.lower()
    # the table of contents of a disc is DICOM too, but no image
    return name.upper() != "DICOMDIR" and (suffix in ("", *DICOM_SUFFIXES) or suffix[1:].isdigit())


def has_dicom_magic(path: str | Path) -> bool:
    """Whether a file starts as DICOM part 10 prescribes; no if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return is_dicom_start(file.read(PREAMBLE + 4))
    except OSError:
        return False


def is_dicom_start(start: bytes) -> bool:
    """Whether the first bytes of a file are as DICOM part 10 prescribes: 128 of any kind, then `DICM`."""
    return start[PREAMBLE : PREAMBLE + 4] == b"DICM"


def is_localiser(image_type: Iterable[str]) -> bool:
    """Whether an image type is that of a localiser.

    Example:
        >>> is_localiser(("ORIGINAL", "PRIMARY", "LOCALIZER"))
        True
    """
    return not LOCALISERS.isdisjoint(word.strip().upper() for word in image_type)
