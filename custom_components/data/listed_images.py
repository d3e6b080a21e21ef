"""What an entry of a list of cases has for its image: a path, or the paths of the slices of a DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from custom_components.case_ids import case_id_of, readable


def image_paths(image: Any, base: Path) -> str | list[str]:
    """Resolve what an entry has for its image: a path, or the paths of the slices of one DICOM series.

    Args:
        image: as it stands in the list.
        base: what relative paths start from.

    Raises:
        ValueError: it is neither.

    Example:
        >>> image_paths(["ct/1.dcm", "ct/2.dcm"], Path("data"))
        ['data/ct/1.dcm', 'data/ct/2.dcm']
    """
    paths = image if isinstance(image, list) and image else [image]
    if not all(isinstance(path, str) and path for path in paths):
        raise ValueError(f"has image {image!r}, expected a path, or those of the slices of a DICOM series")
    found = [str(base / path) for path in paths]
    return found if len(found) > 1 else found[0]


def absolute_paths(image: str | Sequence[str]) -> str | list[str]:
    """Make the path of an image absolute, or those of its slices."""
    return str(Path(image).absolute()) if isinstance(image, str) else [str(Path(path).absolute()) for path in image]


def default_case_id(image: str | Sequence[str]) -> str:
    """Name a case after the file of its image, or after the folder of its DICOM slices.

    Example:
        >>> [default_case_id(image) for image in ("data/a.nii.gz", ["data/ct/1.dcm", "data/ct/2.dcm"])]
        ['a', 'ct']
    """
    path = Path(image) if isinstance(image, str) else Path(image[0]).parent
    return readable(path.resolve().name) if path.is_dir() else case_id_of(path)
