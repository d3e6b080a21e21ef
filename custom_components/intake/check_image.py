"""Look at the voxels of one image: read it, check what it is, draw its tile."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage
from numpy.typing import NDArray

from custom_components.data.dicom import list_series, quiet_itk
from custom_components.data.layout import SOURCE
from custom_components.data.quiet import silent_loggers
from custom_components.data.readers import VolumeReader
from custom_components.data.set_aside import one_line_reason
from custom_components.intake.found import (
    BODY_PART,
    FEW_SLICES,
    LABEL_MAP,
    NO_HU,
    NO_PLACE,
    OTHER_PLANE,
    UNEVEN,
    UNREADABLE,
    Found,
    Image,
)
from custom_components.intake.geometry import SHEARED, Geometry, geometry_of, is_plausible
from custom_components.intake.series_checks import LEAST_SLICES
from custom_components.intake.slices import count_repeated, digest_of, in_ras
from custom_components.intake.tile import draw_tile
from custom_components.intake.values import notes_on, sample_of, values_of, why_no_hu
from custom_components.transforms.check_volume import check_volume

if TYPE_CHECKING:
    from custom_components.intake.body_range import BodyRanges

KINDS = (
    ("size is", FEW_SLICES),
    ("affine", NO_PLACE),
    ("every voxel is", NO_HU),
    ("voxels are NaN", NO_HU),
    ("slices are unevenly", UNEVEN),
)
"""Of the reasons with which a reader refuses an image, by words in them."""


WIDE = 512
"""Voxels of a side that scanners give slices; those of a scan that was resampled to 1 mm are fewer."""


class Looked(NamedTuple):
    """What was found, and the tile (rows, columns) of what could be read."""

    found: Found
    tile: NDArray[np.uint8] | None


def check_image(image: Image, ranges: BodyRanges | None = None) -> Looked:
    """Read an image, and tell what is found beside what is known of it; never raises for what is wrong with a file."""
    found = copy.deepcopy(image.found)
    try:
        tile = _look_at(_read(image.paths), found, ranges)
        if image.whole_folder and not found.kind:
            found.is_folder = _is_only_series(image)
        return Looked(found, tile)
    except Exception as error:
        reason = _reason(error, image)
        kind = next((kind for part, kind in KINDS if part in reason), UNREADABLE)
        found.leave_out(kind, reason)
        return Looked(found, None)


def _read(paths: Sequence[str]) -> MetaTensor:
    # MONAI says of an optional decoder that it is absent, the readers what is odd about a header, with its path
    with silent_loggers("monai.data.nvimgcodec_pydicom_plugin", "nibabel.global"), quiet_itk():
        volume = LoadImage(reader=VolumeReader())(paths[0] if len(paths) == 1 else list(paths))
    return check_volume(volume)


def _is_only_series(image: Image) -> bool:
    """Whether the reader finds the same slices by itself; it tells series apart by more than is looked at here."""
    try:
        series = list_series(image.whole_folder)
    except ValueError:  # it takes each slice for a series of its own
        return False
    return len(series) == 1 and set(series[0].files) == set(image.paths)


def _reason(error: Exception, image: Image) -> str:
    """Why an image cannot be read, without its name, and without where it lies: folders are called after patients."""
    texts: set[str] = set()
    for path in map(Path, filter(None, (*image.paths, image.whole_folder))):
        folders = [folder for folder in path.parents if folder.name]
        for text in (path.name, *map(str, (path, *folders))):
            texts |= {text, repr(text)[1:-1]}  # errors of the system show a path in the way of Python
    item = {"image": sorted(texts), SOURCE: "image"}
    return one_line_reason(error, item).removeprefix("image: ")


def _look_at(volume: MetaTensor, found: Found, ranges: BodyRanges | None) -> NDArray[np.uint8]:
    voxels, affine = volume.numpy(), np.asarray(volume.affine, dtype=float)
    geometry = geometry_of(affine, slice_axis=2 if found.format == "DICOM" else None)
    found.size = tuple(int(n) for n in voxels.shape)
    found.spacing, found.orientation, found.plane = geometry.spacing, geometry.orientation, geometry.plane
    _check_values(voxels, found)
    _check_geometry(geometry, found)
    _check_repeated(voxels, geometry.slice_axis, found)
    ras, ras_affine = in_ras(voxels, affine)
    found.voxels = digest_of(ras)
    if ranges is not None and not found.kind:
        _check_body(ras, ras_affine, found, ranges)
    return draw_tile(ras, np.linalg.norm(ras_affine[:3, :3], axis=0), is_hu=found.kind not in (NO_HU, LABEL_MAP))


def _check_geometry(geometry: Geometry, found: Found) -> None:
    slices = found.size[geometry.slice_axis]
    if slices < LEAST_SLICES:
        found.leave_out(FEW_SLICES, f"has {slices} slices, expected at least {LEAST_SLICES}")
    if not is_plausible(found.extent):
        sides = " x ".join(f"{mm:.0f}" if mm >= 10 else f"{mm:.2g}" for mm in found.extent)
        found.leave_out(NO_PLACE, f"its sides are {sides} mm")
    if geometry.shear > np.degrees(np.arcsin(SHEARED)):
        found.leave_out(NO_PLACE, f"sheared by {geometry.shear:.1f} degrees, as by a tilted gantry")
    if geometry.plane != "axial":
        found.leave_out(OTHER_PLANE, f"slices are {geometry.plane}")
    if found.spacing == (1, 1, 1) and max(found.size) >= WIDE:
        found.notes.append("spacing is 1 x 1 x 1 mm: lost in a conversion?")


def _check_repeated(voxels: NDArray, slice_axis: int, found: Found) -> None:
    repeated = count_repeated(voxels, slice_axis)
    found.repeated_slices = (found.repeated_slices or 0) + repeated
    if repeated:
        found.leave_out(UNEVEN, f"{repeated} of {voxels.shape[slice_axis]} equal the one before")


def _check_values(voxels: NDArray, found: Found) -> None:
    sample = sample_of(voxels)
    values = values_of(sample)
    found.low, found.high = values.low, values.high
    kind, reason = why_no_hu(sample, voxels)
    if kind:
        found.leave_out(kind, reason)
        return
    found.air, found.fat, found.soft_tissue = values.air, values.fat, values.soft_tissue
    found.notes += notes_on(sample, values)


def _check_body(ras: NDArray, affine: NDArray[np.float64], found: Found, ranges: BodyRanges) -> None:
    volume = MetaTensor(torch.from_numpy(np.ascontiguousarray(ras))[None], affine=torch.as_tensor(affine))
    found.body, reason, notes = ranges(volume)
    found.notes += notes
    if reason:
        found.leave_out(BODY_PART, reason)
