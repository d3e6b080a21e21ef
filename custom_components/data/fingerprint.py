"""Whether a segmentation was made from the image that now has its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import nibabel as nib

FINGERPRINT = "fingerprint"
"""Key of an image's fingerprint in an item, and in the meta data of its images."""


def fingerprint(image: str | Sequence[str | Path], *context: str) -> str:
    """Return a short text that changes when an image is replaced: of the names, sizes and times of its files.

    Args:
        image: path of a file, of a folder with DICOM slices, or paths of the slices of one series.
        *context: what else decides what becomes of the image.

    Raises:
        OSError: a file cannot be looked at.
    """
    files: list[tuple[Path, os.stat_result]] = []
    for path in [Path(image)] if isinstance(image, str) else map(Path, image):
        status = path.stat()
        if S_ISDIR(status.st_mode):
            files += [(file, file.stat()) for file in path.iterdir()]
        else:
            files.append((path, status))
    digest = hashlib.sha256()
    for file, status in sorted(files, key=lambda one: one[0]):
        digest.update(f"{file.name}/{status.st_size}/{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
    for text in context:
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()[:16]


def description(print_of_image: str) -> str:
    """Text for the field `descrip` of a NIfTI header."""
    return f"input {print_of_image}"


def is_of_another_image(segmentation: Path, print_of_image: str) -> bool:
    """Whether a segmentation says that it was made from another image; one that says nothing counts as this one's."""
    try:
        header: Any = nib.load(segmentation).header
        found = bytes(header["descrip"]).rstrip(b"\0").decode("ascii", "replace")
    except (OSError, EOFError, KeyError, nib.filebasedimages.ImageFileError):
        return False
    return found.startswith(description("")) and found != description(print_of_image)
