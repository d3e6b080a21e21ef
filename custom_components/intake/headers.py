"""The few tags of a DICOM header that say what a slice is and where it lies. None that identifies a patient is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pydicom

from custom_components.data.quiet import silent_pydicom

TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
    "GantryDetectorTilt", "RescaleSlope", "RescaleIntercept", "RescaleType", "BurnedInAnnotation",
)  # fmt: skip
"""All that is read. UIDs stay in memory: they are not written, as an archive finds the patient by them."""


class Header(NamedTuple):
    """Of one DICOM file. What is missing is empty.

    Attributes:
        path: of the file.
        fault: why it cannot be read, else empty.
        position: (x, y, z) of the first pixel in mm, in the patient's LPS.
        orientation: direction of the rows, and of the columns, in LPS.
        spacing: distance of rows, and of columns, in mm.
        rescaled: whether slope and intercept are there that make HU of the stored numbers.
    """

    path: str
    fault: str = ""
    series: str = ""
    instance: str = ""
    sop_class: str = ""
    modality: str = ""
    image_type: tuple[str, ...] = ()
    size: tuple[int, ...] = ()
    frames: int = 1
    samples: int = 1
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    spacing: tuple[float, ...] = ()
    tilt: float = 0.0
    rescaled: bool = False
    unit: str = ""
    burned_in: bool = False


def read_headers(paths: Sequence[str]) -> list[Header]:
    """Read the headers of some DICOM files; a file that cannot be read gets a `fault`."""
    with silent_pydicom():
        return [_read_header(path) for path in paths]


def _read_header(path: str) -> Header:
    try:
        found = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(TAGS), force=True)
    except Exception:  # whatever bytes a file holds
        return Header(path, fault="no DICOM, truncated or damaged")
    if not any(tag in found for tag in ("SOPClassUID", "Modality", "SeriesInstanceUID")):
        return Header(path, fault="no DICOM, truncated or damaged")
    rows, columns = _numbers(found, "Rows", 1), _numbers(found, "Columns", 1)
    return Header(
        path,
        series=_text(found, "SeriesInstanceUID"),
        instance=_text(found, "SOPInstanceUID"),
        sop_class=_text(found, "SOPClassUID"),
        modality=_text(found, "Modality"),
        image_type=tuple(_text(found, "ImageType").upper().split("\\")),
        size=(int(columns[0]), int(rows[0])) if rows and columns else (),
        frames=int(_number(found, "NumberOfFrames", 1)),
        samples=int(_number(found, "SamplesPerPixel", 1)),
        position=_numbers(found, "ImagePositionPatient", 3),
        orientation=_numbers(found, "ImageOrientationPatient", 6),
        spacing=_numbers(found, "PixelSpacing", 2),
        tilt=_number(found, "GantryDetectorTilt", 0),
        rescaled=bool(_numbers(found, "RescaleSlope", 1)) and bool(_numbers(found, "RescaleIntercept", 1)),
        unit=_text(found, "RescaleType").upper(),
        burned_in=_text(found, "BurnedInAnnotation").upper() == "YES",
    )


def _value(found: pydicom.Dataset, tag: str) -> Any:
    try:
        return found.get(tag)
    except Exception:  # pydicom decodes a value when it is asked for, and says in many ways that it cannot
        return None


def _text(found: pydicom.Dataset, tag: str) -> str:
    value = _value(found, tag)
    if value is None:
        return ""
    is_list = not isinstance(value, str) and isinstance(value, Sequence)
    return "\\".join(map(str, value)) if is_list else str(value).strip()


def _numbers(found: pydicom.Dataset, tag: str, count: int) -> tuple[float, ...]:
    """The numbers of a tag, or nothing if they are not as many as they should be."""
    value = _value(found, tag)
    try:
        numbers = tuple(float(one) for one in (value if isinstance(value, Sequence) else [value]))
    except (TypeError, ValueError):
        return ()
    return numbers if len(numbers) == count else ()


def _number(found: pydicom.Dataset, tag: str, default: float) -> float:
    numbers = _numbers(found, tag, 1)
    return numbers[0] if numbers else default
