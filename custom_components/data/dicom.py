"""Find the CT series in a DICOM folder, and check that their slices form a volume."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import itk
import numpy as np

from custom_components.data.dicom_geometry import MOST_TILT, UNEVEN, heights_of, tilt_of
from custom_components.data.dicom_kinds import is_localiser
from custom_components.files import utf8_path


@dataclass(frozen=True)
class Series:
    """The files of one CT series, sorted along the slice axis."""

    number: str
    files: tuple[str, ...]


def list_series(folder: str | Path) -> list[Series]:
    """List the CT series with more than one slice in a folder (not in its subfolders), by series number.

    Localisers, reports, structure sets and other modalities are left out.

    Raises:
        ValueError: there is no such series; the text says what was found instead.
    """
    names = itk.GDCMSeriesFileNames.New()
    names.SetUseSeriesDetails(True)
    with quiet_itk():
        names.SetDirectory(utf8_path(folder))
        found = [tuple(names.GetFileNames(uid)) for uid in names.GetSeriesUIDs()]
    series, others = [], []
    for files in found:
        tags = _tags(files[0])
        modality = tags.get("0008|0060", "without modality")
        localiser = is_localiser(tags.get("0008|0008", "").split("\\"))
        if modality != "CT" or localiser or _slices(files, tags) < 2:
            kind = "localiser" if localiser else modality
            others.append(f"{kind} ({len(files)} files)")
        else:
            series.append(Series(tags.get("0020|0011", "0"), files))
    if not series:
        raise ValueError(f"{folder}: found {', '.join(others) or 'no DICOM'}, expected a CT series of several slices")
    return sorted(series, key=lambda one: (len(one.number), one.number, one.files))


def patient_of(file: str | Path) -> str:
    """The patient id of a DICOM file, stripped; nothing if it has none."""
    return _tags(str(file)).get("0010|0020", "")


def read_series(files: Sequence[str]) -> itk.Image:
    """Read the slices of one series, in any order, as a volume.

    Raises:
        ValueError: the slices are unevenly spaced (missing or double ones) or shifted (tilted gantry).
    """
    if len(files) > 1:
        files = _along_normal(files)
    image, uneven = _read_slices(files)
    if uneven:
        raise ValueError(
            f"slices are unevenly spaced: up to {uneven:.2f} mm off a grid of {float(image.GetSpacing()[2]):.2f} mm, "
            "expected no missing and no double slices"
        )
    return image


def _read_slices(files: Sequence[str]) -> tuple[itk.Image, float]:
    """Read slices in this order; also how far one lies off a regular grid in mm, 0 if that is next to nothing."""
    with quiet_itk():
        image = itk.imread(list(files) if len(files) > 1 else files[0])
    meta, key = image.GetMetaDataDictionary(), "ITK_non_uniform_sampling_deviation"
    off = float(meta[key]) if meta.HasKey(key) else 0.0
    return image, off if off > UNEVEN * float(image.GetSpacing()[2]) else 0.0


def _along_normal(files: Sequence[str]) -> list[str]:
    """Sort slices by their position along their normal; refuse those that are shifted against each other."""
    places = [_place(_tags(file)) for file in files]
    positions, orientation = [position for position, _ in places], places[0][1]
    heights = heights_of(positions, orientation)
    order = np.argsort(heights, kind="stable")
    first, last = order[0], order[-1]
    if heights[first] == heights[last]:
        raise ValueError("all slices lie at the same position, expected a volume")
    tilt = tilt_of(positions[first], positions[last], orientation)
    if tilt > MOST_TILT:
        raise ValueError(f"slices are tilted by {tilt:.1f} degrees against their axis, expected none (gantry tilt)")
    return [files[number] for number in order]


def _place(tags: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Position and axes of a slice."""
    if not tags:
        raise ValueError("a DICOM slice is truncated or damaged")
    try:
        position, axes = (
            np.array([float(part) for part in tags[tag].split("\\")]) for tag in ("0020|0032", "0020|0037")
        )
    except (KeyError, ValueError):
        raise ValueError("slices lack ImagePositionPatient or ImageOrientationPatient") from None
    return position, axes


def _slices(files: Sequence[str], tags: dict[str, str]) -> int:
    frames = tags.get("0028|0008", "1")
    return max(len(files), int(frames) if frames.isdigit() else 1)


def _tags(file: str) -> dict[str, str]:
    """The DICOM header as text by `group|element`; empty if the file holds no image."""
    reader = itk.GDCMImageIO.New(FileName=file)
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError:
        return {}
    meta = reader.GetMetaDataDictionary()
    return {key: str(meta[key]).strip() for key in meta.GetKeys()}


@contextlib.contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from printing warnings, with paths, to standard error; what matters of them we raise."""
    shown = itk.Object.GetGlobalWarningDisplay()
    itk.Object.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        itk.Object.SetGlobalWarningDisplay(shown)
